from __future__ import annotations

import pytest

from inference.findings import ClinicalContext
from tests.unit.workers.context.known import ct, give, known, numbers
from tests.unit.workers.context.messages import laboratory, message
from workers.application import Application
from workers.context.items import Code, load_items
from workers.context.quantities import read_flag, read_number
from workers.context.shown import context_facts

TABLE = load_items(None)


@pytest.mark.parametrize(
    ("item", "written", "unit", "number", "comparator"),
    [
        ("cea", "7.5", "ng/mL", 7.5, ""),
        ("cea", "7,5", "ug/L", 7.5, ""),
        ("cea", "7.5", "μg/l", 7.5, ""),
        ("cea", "<0.5", "ng/mL", 0.5, "<"),
        ("cea", ">= 1000", "ng/mL", 1000, ">"),
        ("progrp", "0.068", "ng/mL", 68, ""),
        ("crp", "1.2", "mg/dL", 12, ""),
        ("albumin", "4.1", "g/dL", 41, ""),
        ("ca_125", "35", "kU/L", 35, ""),
        ("leukocytes", "7.2", "10*3/uL", 7.2, ""),
        ("size", "172", "cm", 1.72, ""),
        ("weight", "150", "[lb_av]", 68.0388555, ""),
    ],
)
def test_values_are_kept_in_one_unit(
    item: str, written: str, unit: str, number: float, comparator: str
) -> None:
    found, limit, problem = read_number(TABLE, item, written, unit)

    assert problem == ""
    assert found == pytest.approx(number, rel=1e-12)
    assert limit == comparator


@pytest.mark.parametrize(
    ("written", "unit"),
    [("7.5", ""), ("7.5", "mmol/L"), ("7.5", "MG/L"), ("high", "ng/mL"), ("-1", "ng/mL"),
     ("1e999", "ng/mL"), ("7.5.1", "ng/mL"), ("", "ng/mL")],
)  # fmt: skip
def test_a_number_that_cannot_be_converted_says_why(written: str, unit: str) -> None:
    found, _, problem = read_number(TABLE, "cea", written, unit)

    assert found is None
    assert problem


def test_every_unit_of_an_item_is_in_the_table_of_units() -> None:
    for name, item in TABLE.items.items():
        if item.kind == "number":
            assert item.unit is not None
            assert TABLE.convert(name, 1.0, item.unit) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("code", "system", "item"),
    [("J43.9", "I10", "emphysema"), ("J439", "I10C", "emphysema"), ("C34.1", "ICD-10-GM", "cancer"),
     ("C44.3", "I10", None), ("D05.1", "I10", None), ("Z80.1", "I10", "family_history_lung_cancer"),
     ("Z94.0", "I10", "immunosuppressed"), ("J43.9", "I9", None), ("87433001", "SCT", "emphysema")],
)  # fmt: skip
def test_diagnoses_mean_items_by_their_code(code: str, system: str, item: str | None) -> None:
    assert TABLE.find_diagnosis(Code(code=code, system=system)) == item


def test_answers_are_yes_no_or_neither() -> None:
    assert read_flag("Y") is True
    assert read_flag("", "无") is False
    assert read_flag("maybe") is None


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (laboratory("9.9", status="C", control="2", at="20260301080000"), {"cea": 9.9}),
        (laboratory("7.5", status="D", control="2"), {}),
        (laboratory("7.5", status="W", control="2"), {}),
        (laboratory("9.9", status="P", control="2"), {"cea": 7.5}),
        (laboratory("9.9", status="F", control="2", order="O2", at="20260302070000"), {"cea": 9.9}),
    ],
)
def test_corrected_deleted_preliminary_and_newer_results(
    app: Application, later: str, left: dict[str, float]
) -> None:
    later = later.replace("||20260301101500||", "||20260305101500||")

    give(app, later, laboratory("7.5", control="1"))  # the correction overtook the result

    assert numbers(known(app)) == left


def test_a_preliminary_result_and_one_without_a_status_are_not_used(app: Application) -> None:
    bare = (
        laboratory("5", control="2", order="O2").replace("|||F|||", "||||||").replace("|||F", "||")
    )
    give(app, laboratory(status="P"), bare)

    assert numbers(known(app)) == {}


@pytest.mark.parametrize(
    ("day", "used"),
    [("20260301", True), ("20251203", True), ("20251201", False), ("20261201", False)],
)
def test_a_stale_marker_is_left_out_and_said(app: Application, day: str, used: bool) -> None:
    give(app, laboratory("7.5", at=f"{day}080000"))

    resolved = known(app)

    assert bool(numbers(resolved)) is used
    assert bool(resolved.known.left_out) is not used


def test_the_value_nearest_to_the_ct_counts(app: Application) -> None:
    for number, (value, day) in enumerate(
        [("1", "20260110"), ("2", "20260305"), ("3", "20260318")]
    ):
        give(app, laboratory(value, control=f"{number}", order=f"O{number}", at=f"{day}080000"))

    assert numbers(known(app)) == {"cea": 2}


def test_history_reaches_the_rules_inputs_and_the_missing_ones_are_named(app: Application) -> None:
    give(
        app,
        message(
            "ORU^R01",
            "OBR|1|O1|O1|SOC^Social history^L|||20260201",
            "OBX|1|CWE|72166-2^Tobacco smoking status^LN||8517006^Ex-smoker^SCT||||||F|||20260201",
            "OBX|2|NM|8664-5^Pack-years^LN||40|{PackYears}|||||F|||20260201",
            "OBX|3|CWE|EMPH^Emphysema^L||Y^yes^HL70136||||||F|||20260201",
            control="1",
        ),
        message(
            "ADT^A08",
            "DG1|1||C50.9^Breast^I10||2015|F",
            "DG1|2||Z80.1^Family history^I10|||F",
            "DG1|3||C34.1^Lung^I10|||W",
            control="2",
        ),
    )

    resolved = known(app)

    assert resolved.context == ClinicalContext(
        age_years=65,
        sex="F",
        ever_smoker=True,
        pack_years=40,
        emphysema=True,
        family_history_lung_cancer=True,
        extrathoracic_cancer_over_5_years=True,
    )
    assert set(resolved.known.missing) == {
        "screening_exam", "known_cancer", "immunosuppressed", "high_risk"
    }  # fmt: skip
    assert any("not a final diagnosis" in why for why in resolved.known.left_out)
    said = context_facts(resolved.known)["Clinical context"]
    assert "emphysema yes (HL7 message 1, 2026-02-01)" in said
    assert "cancer yes since 2015 (HL7 message 2, 2026-03-01)" in said


@pytest.mark.parametrize(
    ("code", "since", "over_5", "cancer"),
    [
        ("C50.9", "20210301", True, None),
        ("C50.9", "20210303", None, True),
        ("C50.9", "2021", None, True),
        ("C50.9", "2020", True, None),
        ("C50.9", "", None, True),
        ("C34.9", "2001", None, True),
    ],
)
def test_a_cancer_is_known_or_long_ago_by_its_onset(
    app: Application, code: str, since: str, over_5: bool | None, cancer: bool | None
) -> None:
    give(app, message("ADT^A01", f"DG1|1||{code}^^I10||{since}|F"))

    context = known(app).context

    assert context.extrathoracic_cancer_over_5_years is over_5
    assert context.known_cancer is cancer


def test_who_ever_smoked_has_smoked_whatever_is_said_later(app: Application) -> None:
    def says(code: str, day: str) -> str:
        return message(
            "ORU^R01",
            f"OBR|1|{day}|{day}|SOC^^L|||{day}",
            f"OBX|1|CWE|72166-2^^LN||{code}^^SCT||||||F|||{day}",
            control=day,
        )

    give(app, says("77176002", "20200101"), says("266919005", "20260101"))

    assert known(app).context.ever_smoker is True


@pytest.mark.parametrize(("accession", "screening"), [("A1", True), ("A2", None)])
def test_an_order_makes_its_own_examination_a_screening(
    app: Application, accession: str, screening: bool | None
) -> None:
    order = f"OBR|1|P9|F9|71271^LDCT screening^C4|||20260302||||||lung screening|||||{accession}"
    give(app, message("ORM^O01", "ORC|NW|P9", order))

    resolved = known(app)

    assert resolved.context.screening_exam is screening
    (indication,) = resolved.reports
    assert (indication.kind, indication.text) == ("indication", "lung screening")


def test_a_reports_text_is_kept_and_its_correction_takes_its_place(app: Application) -> None:
    def report(text: str, control: str, at: str, status: str = "F") -> str:
        return message(
            "ORU^R01",
            f"OBR|1|P7|F7|CT^CT chest^L|||20260302|||||||||||A1||||20260302|||{status}",
            *(
                f"OBX|{number}|TX|RPT^Report^L||{line}||||||{status}"
                for number, line in enumerate(text.split("|"), start=1)
            ),
            control=control,
            at=at,
        )

    give(
        app,
        report("A nodule of 8 mm.|Emphysema.", "1", "20260302120000"),
        report("A nodule of 9 mm.|Emphysema.", "2", "20260303120000", "C"),
    )

    (kept,) = known(app).reports

    assert kept.text == "A nodule of 9 mm.\nEmphysema."
    assert (kept.title, kept.accession, kept.observed_on) == ("CT chest", "A1", "2026-03-02")


def test_the_same_known_twice_has_one_digest_and_another_value_another(app: Application) -> None:
    give(app, laboratory("7.5", control="1"))
    first = known(app).digest
    give(app, laboratory("7.5", control="2", order="O2"))
    same = known(app).digest
    give(app, laboratory("8", control="3", order="O3"))

    assert same == first
    assert known(app).digest != first


def test_without_the_day_of_the_ct_nothing_that_grows_old_is_used(app: Application) -> None:
    give(app, laboratory())

    assert numbers(known(app, of=ct(study_date=""))) == {}
