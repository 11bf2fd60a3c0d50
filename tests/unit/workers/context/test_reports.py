"""Which report is of the CT, and what reports' texts say of the patient."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dicom_node.compose.words import LANGUAGES, words_of
from tests.unit.workers.context.fhir_server import bundle, patient
from tests.unit.workers.context.known import ct, give, known
from tests.unit.workers.context.messages import message
from tests.unit.workers.outbound import results
from workers.application import Application
from workers.context.resolve import CODED_SAYS_OTHERWISE, CtPatient, Resolved
from workers.outbound.oru import Addresses, compose_oru
from workers.outbound.told import tell

STUDY = "1.2.840.99.1"
NODULE = "FINDINGS: 8 mm spiculated nodule in the right upper lobe."
CHEST = "71260^CT Chest without contrast^L"


def report(
    *lines: str,
    accession: str = "",
    order: str = "R1",
    status: str = "F",
    day: str = "20260302",
    code: str = CHEST,
    control: str = "RAD-1",
    observation: str = "18748-4^Report^LN",
    more: tuple[str, ...] = (),
    **others: str,
) -> str:
    """A radiology report by ORU^R01; OBR-18 is its accession number."""
    obr = f"OBR|1|{order}|{order}|{code}|||{day}||||||||||{'|'}{accession}||||||{status}"
    fields = obr.split("|")
    fields = [*fields[:18], *[""] * (26 - 18)]
    fields[18], fields[25] = accession, status
    texts = [
        f"OBX|{number}|TX|{observation}||{line}||||||F" for number, line in enumerate(lines, 1)
    ]
    return message("ORU^R01", "|".join(fields), *texts, *more, control=control, **others)


def of_study(**others: Any) -> CtPatient:
    return ct(study_uid=STUDY, **others)


def sizes(resolved: Resolved) -> list[float | None] | None:
    """Of the nodules that reports of the CT describe; `None` without such a report."""
    return None if resolved.exam is None else [one.size_mm for one in resolved.exam.nodules]


def values(resolved: Resolved) -> dict[str, tuple[float | bool | None, str, str, str]]:
    return {
        item.item: (
            item.flag if item.number is None else item.number,
            item.source,
            item.message_id,
            item.on,
        )
        for item in resolved.known.values
    }


@pytest.mark.parametrize(
    ("sent", "of_the_ct"),
    [
        ({"accession": "A1", "day": "20260305"}, True),
        ({"order": "A1", "day": "20260305"}, True),
        ({"accession": "A2"}, False),
        ({"order": "7"}, True),  # a number that is none of the CT's: the only one of its day
        ({"order": "7", "day": "20260301"}, False),
        ({"order": "7", "code": "72100^Lumbar spine 2 views^L"}, False),
        ({"order": "7", "code": "71046^Chest X-ray 2 views^L"}, False),
        ({"order": "7", "code": "71046^Chest X-ray, rib fracture^L"}, False),
        ({"order": "7", "code": "9^胸部CT平扫^L"}, True),
        ({"more": (f"OBX|9|ST|^Study Instance UID||{STUDY}||||||F",), "day": "20250101"}, True),
        ({"more": ("OBX|9|HD|113014^DICOM Study^DCM||1.2.3^App^DICOM||||||F",)}, False),
        ({"more": (f"ZDS|{STUDY}^App^Application^DICOM",), "accession": "A2"}, True),
        (
            {"more": ("OBX|9|TX|9^LN||gone||||||D",), "accession": "A1", "status": ""},
            True,
        ),
        ({"more": ("ZDS|1.2.3^App^Application^DICOM",), "accession": "A1"}, False),
        ({"accession": "A1", "status": "P"}, False),
        ({"accession": "A1", "name": "Other^Name"}, False),
    ],
    ids=str,
)
def test_a_report_is_the_cts_by_what_it_names_else_by_day_and_kind(
    app: Application, sent: dict[str, Any], of_the_ct: bool
) -> None:
    give(app, report(NODULE, **sent))

    assert sizes(known(app, of=of_study())) == ([8.0] if of_the_ct else None)


def test_the_reports_message_and_day_are_told_with_its_nodules(app: Application) -> None:
    give(app, report(NODULE, accession="A1", control="RAD-7"))

    exam = known(app, of=of_study()).exam

    assert exam is not None
    (source,) = exam.reports
    assert (source.source, source.message_id, source.on) == ("hl7", "RAD-7", "2026-03-02")
    assert exam.nodules[0].spiculation == "present"


def test_of_two_reports_of_one_day_that_name_nothing_neither_is_taken(app: Application) -> None:
    give(app, report(NODULE, order="7", control="1"))
    give(app, report("9 mm nodule in the LLL.", order="8", control="2"))

    resolved = known(app, of=of_study())

    assert resolved.exam is None
    assert any("neither names the examination" in why for why in resolved.known.left_out)


def test_a_corrected_report_takes_the_place_of_the_first(app: Application) -> None:
    give(app, report(NODULE, accession="A1", control="1", at="20260302100000"))
    before = known(app, of=of_study())
    corrected = report(
        "FINDINGS: 6 mm nodule in the left upper lobe.",
        accession="A1", status="C", control="2", at="20260302120000",
    )  # fmt: skip
    give(app, corrected)

    after = known(app, of=of_study())

    assert (sizes(before), sizes(after)) == ([8.0], [6.0])
    assert before.digest != after.digest


def test_an_addendum_adds_to_the_report_and_leaves_it(app: Application) -> None:
    give(app, report(NODULE, accession="A1", control="1", at="20260302100000"))
    for number, text in enumerate(("5 mm nodule in the LLL.", "11 mm nodule in the lingula."), 2):
        addendum = report(
            text, accession="A1", observation="18748-4&ADT^Addendum^LN", control=f"{number}",
            at=f"2026030212000{number}",
        )  # fmt: skip
        give(app, addendum)

    exam = known(app, of=of_study()).exam

    assert exam is not None
    told = [
        (one.size_mm, [report.message_id for report in exam.reports_of(at)])
        for at, one in enumerate(exam.nodules)
    ]
    assert told == [(8.0, ["1"]), (5.0, ["2"]), (11.0, ["3"])]


def test_a_report_that_is_taken_back_is_gone(app: Application) -> None:
    give(app, report(NODULE, accession="A1", control="1", at="20260302100000"))
    give(app, report(NODULE, accession="A1", status="X", control="2", at="20260302110000"))
    wrong = report("", accession="A1", status="W", control="3", at="20260302120000")
    give(app, wrong.replace("||||||F", "||||||W"))

    assert sizes(known(app, of=of_study())) is None


def test_our_own_result_is_never_taken_for_a_report(app: Application) -> None:
    for language in ("en", "zh"):
        warning = words_of(language).say("not_for_diagnosis")
        give(app, report(warning, NODULE, accession="A1", control=language))

        resolved = known(app, of=of_study())

        assert resolved.exam is None
        assert any("a result of this software" in why for why in resolved.known.left_out)


@pytest.mark.parametrize(
    "words", ["nodule, " * 400, "结节\uff0c" * 1001, "Clear. " * 3000], ids=len
)
def test_what_is_too_long_for_a_report_holds_nothing_up(app: Application, words: str) -> None:
    give(app, report(words, accession="A1"))

    resolved = known(app, of=of_study())

    assert resolved.exam is None
    assert any("longer than" in why for why in resolved.known.left_out)


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_message_that_a_ris_sends_back_says_nothing(app: Application, language: Any) -> None:
    warning = words_of(language).say("not_for_diagnosis")
    ours = tell(
        results.findings(results.nodule(1)),
        results.report(
            (warning, "Nodule 1, solid, 12.3 x 9.9 mm, right upper lobe. Emphysema."),
            StudyInstanceUID=STUDY, AccessionNumber="A1",
        ),
        revision=1,
        committed_at=results.COMMITTED_AT,
    )  # fmt: skip
    sent = compose_oru(ours, Addresses(receiving_application="RIS"))
    give(app, sent.data.replace(b"PULMONODE||RIS", b"RIS||PULMONODE"))

    resolved = known(app, of=of_study())

    assert resolved.exam is None
    assert values(resolved) == {}
    assert len(resolved.known.left_out) == 1


HISTORY = (
    "CLINICAL HISTORY: 40 pack-year former smoker. History of breast cancer. Mother: lung cancer.",
    "FINDINGS: Upper lobe predominant emphysema.",
)


def test_history_is_taken_from_any_report_with_its_message_and_day(app: Application) -> None:
    give(app, report(*HISTORY, accession="OLD", day="20250710", control="RAD-0"))

    resolved = known(app, of=of_study())

    source = ("report text", "RAD-0", "2025-07-10")
    assert values(resolved) == {
        "pack_years": (40.0, *source),
        "smoking_status": (True, *source),
        "cancer": (True, *source),
        "family_history_lung_cancer": (True, *source),
        "emphysema": (True, *source),
    }
    context = resolved.context
    assert (context.ever_smoker, context.pack_years, context.emphysema) == (True, 40.0, True)
    assert (context.known_cancer, context.family_history_lung_cancer) == (True, True)
    assert resolved.exam is None


@pytest.mark.parametrize(
    "words",
    ["No emphysema.", "Possible emphysema.", "Question of emphysema?", "Father has emphysema.",
     "No family history of lung cancer.", "Rule out lung cancer.", "Suspicious for malignancy."],
)  # fmt: skip
def test_what_is_denied_doubted_or_asked_says_nothing(app: Application, words: str) -> None:
    give(app, report(words, accession="OLD", day="20250710"))

    assert values(known(app)) == {}


def test_a_coded_value_counts_before_a_text(app: Application) -> None:
    coded = message(
        "ORU^R01",
        "OBR|1|O9|O9|SOC^Social history^L|||20240201",
        "OBX|1|CWE|72166-2^Tobacco smoking status^LN||266919005^Never smoker^SCT||||||F|||20240201",
        "OBX|2|CWE|EMPH^Emphysema^L||N^no^HL70136||||||F|||20240201",
        control="COD",
    )
    give(app, report(*HISTORY, accession="OLD", day="20250710", control="RAD-0"), coded)

    resolved = known(app)

    found = values(resolved)
    assert found["emphysema"][:3] == (False, "hl7", "COD")
    assert found["smoking_status"][:3] == (False, "hl7", "COD")
    assert "pack_years" not in found
    assert resolved.context.ever_smoker is False
    assert any(CODED_SAYS_OTHERWISE in why for why in resolved.known.left_out)
    assert found["family_history_lung_cancer"][1] == "report text"


def test_pack_years_of_an_old_report_are_stale(app: Application) -> None:
    give(app, report("Smoking history: 40 pack-years.", accession="OLD", day="20190710"))

    resolved = known(app)

    assert resolved.context.pack_years is None
    assert any("over 1095 days" in why for why in resolved.known.left_out)


def reported(**others: Any) -> bytes:
    """A Bundle with a report, and the study that it may name."""
    text = base64.b64encode(NODULE.encode()).decode()
    return bundle(
        patient(),
        {
            "resourceType": "ImagingStudy", "id": "s1",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}],
        },
        {
            "resourceType": "DiagnosticReport", "id": "d1", "status": "final",
            "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2026-03-05",
            "code": {"text": "CT Chest"},
            "presentedForm": [{"contentType": "text/plain", "data": text}],
            **others,
        },
    )  # fmt: skip


ACSN = {"coding": [{"code": "ACSN"}]}


@pytest.mark.parametrize(
    ("others", "of_the_ct"),
    [
        ({"imagingStudy": [{"reference": "ImagingStudy/s1"}]}, True),
        ({"imagingStudy": [{"identifier": {"value": f"urn:oid:{STUDY}"}}]}, True),
        ({"imagingStudy": [{"identifier": {"value": "urn:oid:1.2.3"}}]}, False),
        (
            {
                "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.9"}],  # its own
                "imagingStudy": [{"reference": "ImagingStudy/s1"}],
            },
            True,
        ),
        ({"identifier": [{"type": ACSN, "value": "A1"}]}, True),
        ({"basedOn": [{"identifier": {"type": ACSN, "value": "A1"}}]}, True),
        ({"basedOn": [{"identifier": {"value": "A1"}}]}, True),
        ({}, False),  # of another day
        ({"effectiveDateTime": "2026-03-02"}, True),
        ({"status": "preliminary", "imagingStudy": [{"reference": "ImagingStudy/s1"}]}, False),
    ],
    ids=str,
)
def test_a_fhir_report_names_its_study(
    app: Application, others: dict[str, Any], of_the_ct: bool
) -> None:
    give(app, reported(**others))

    resolved = known(app, of=of_study())

    assert sizes(resolved) == ([8.0] if of_the_ct else None)
    if resolved.exam is not None:
        assert resolved.exam.reports[0].message_id == "DiagnosticReport/d1"
