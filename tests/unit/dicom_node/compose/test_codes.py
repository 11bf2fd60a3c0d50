from __future__ import annotations

from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from dicom_node.compose import codes

ALL = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
TABLES = [*codes.SITES.values(), *codes.NODULE_TYPES.values()]
KNOWN = {
    (scheme, value)
    for scheme, by_keyword in concepts.items()
    for values in by_keyword.values()
    for value in values  # type: ignore[attr-defined] # pydicom says no type
}
NOT_IN_PYDICOM = {
    # Looked up one by one: pydicom's tables leave them out.
    ("UMLS", "C0034375"),
    ("SCT", "169069000"), ("SCT", "3341006"), ("SCT", "44029006"), ("SCT", "42400003"),
    ("SCT", "266005"), ("SCT", "41224006"), ("SCT", "363698007"),
}  # fmt: skip


def test_every_standard_code_is_known() -> None:
    used = {
        (code.scheme_designator, code.value)
        for code in (*ALL.values(), *TABLES)
        if code.scheme_designator not in ("99PULMONODE", "UCUM")
    }

    assert used - KNOWN - NOT_IN_PYDICOM == set()


def test_codes_fit_their_value_representations() -> None:
    for code in (*ALL.values(), *TABLES, codes.lung_rads_value("4A")):
        assert 0 < len(code.value) <= 16
        assert 0 < len(code.meaning) <= 64
        assert len(code.scheme_designator) <= 16


def test_no_code_stands_for_two_things() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for code in (*ALL.values(), *TABLES):
        meanings.setdefault((code.scheme_designator, code.value), set()).add(code.meaning)

    assert {key: value for key, value in meanings.items() if len(value) > 1} == {}


def test_the_axes_have_exactly_the_meanings_that_ohif_wants() -> None:
    assert (codes.LONG_AXIS.value, codes.LONG_AXIS.meaning) == ("103339001", "Long Axis")
    assert (codes.SHORT_AXIS.value, codes.SHORT_AXIS.meaning) == ("103340004", "Short Axis")


def test_the_left_upper_lobe_is_not_just_any_upper_lobe() -> None:
    assert codes.SITES["left upper lobe"].value == "44714003"
