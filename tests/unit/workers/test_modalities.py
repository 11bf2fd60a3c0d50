"""Every set of modalities on a phantom, end to end: what counts, what is masked, what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from dicom_node.compose.content_tree import walk
from dicom_node.compose.profile import ObjectKind
from inference.grade_values import NoduleGrade
from inference.graders import BANK_FILE, SIMULATED_LIMIT
from inference.grading.bank import load_bank
from inference.image_row import FROM_PIXELS
from inference.known import BESIDE_PIXELS, BY_DEFAULT, CLINICAL, CT_REPORT, PET, SEROLOGY
from inference.pet.beside import PET_GRADED_LIMIT, PET_LIMIT
from inference.training.shapes import EXCLUDED_PATIENTS
from inference.weights import SHIPPED, load_weights, multimodal_folder
from tests.conftest import REPOSITORY
from workers import modality_evaluation
from workers.cli.main import app
from workers.detector_choice import grading_of
from workers.modality_evaluation import PhantomCase, analyse_phantom, grade_with
from workers.modality_worth import SETS
from workers.settings import Settings
from workers.translate import to_report_content

DEFAULT = Settings(threads=1)
EVERY = DEFAULT.model_copy(update={"grade_by": BESIDE_PIXELS})
SIMULATED = (CLINICAL, SEROLOGY, PET)


@pytest.fixture(scope="module")
def case() -> PhantomCase:
    return analyse_phantom(EVERY, lambda _: None)


@pytest.fixture(scope="module")
def grades(case: PhantomCase) -> dict[tuple[str, ...], NoduleGrade]:
    return {given: grade_with(EVERY, case, given) for given in SETS}


def without(grade: NoduleGrade, *flags: str) -> NoduleGrade:
    """The grade without shares that have one of the flags."""
    return replace(
        grade,
        modalities={
            name: share
            for name, share in grade.modalities.items()
            if not any(getattr(share, flag) for flag in flags)
        },
    )


def test_every_set_of_modalities_gives_a_level_and_shares_of_what_is_there(
    grades: dict[tuple[str, ...], NoduleGrade],
) -> None:
    assert len(grades) == 16
    for given, grade in grades.items():
        assert grade.level is not None, grade.withheld
        used = [name for name, share in grade.modalities.items() if share.present]
        assert used == [*FROM_PIXELS, *given]
        shares = [grade.modalities[name] for name in used]
        assert sum(share.attention or 0 for share in shares) == pytest.approx(1, abs=1e-5)
        assert all(share.contribution is not None for share in shares)
        flagged = [name for name, share in grade.modalities.items() if share.simulated]
        assert flagged == [name for name in given if name in SIMULATED]
        assert not any(share.masked for share in grade.modalities.values())
    for name in BESIDE_PIXELS:  # it is used: with and without it the answer is another
        assert grades[name,].probabilities != grades[()].probabilities


def test_what_the_site_does_not_name_is_shown_masked_and_moves_nothing(
    case: PhantomCase, grades: dict[tuple[str, ...], NoduleGrade]
) -> None:
    some = grade_with(DEFAULT.model_copy(update={"grade_by": (CLINICAL,)}), case, BESIDE_PIXELS)

    masked = [name for name, share in some.modalities.items() if share.masked]
    assert masked == [CT_REPORT, SEROLOGY, PET]
    assert all(some.modalities[name].present for name in masked)
    assert all(some.modalities[name].contribution is None for name in masked)
    assert some.probabilities == grades[CLINICAL,].probabilities
    assert some.similar_cases == grades[CLINICAL,].similar_cases


def test_by_default_nothing_that_was_simulated_changes_a_grade(case: PhantomCase) -> None:
    nothing = grade_with(DEFAULT, case, ())
    report = grade_with(DEFAULT, case, BY_DEFAULT)
    everything = grade_with(DEFAULT, case, BESIDE_PIXELS)

    assert tuple(nothing.modalities) == (*FROM_PIXELS, CT_REPORT)
    assert without(grade_with(DEFAULT, case, SIMULATED), "masked") == nothing
    assert without(everything, "masked") == report
    assert report.probabilities != nothing.probabilities
    assert [name for name, share in everything.modalities.items() if share.masked] == [*SIMULATED]
    grading = grading_of(DEFAULT)
    assert grading is not None
    assert grading.weights["grader"] == load_weights("grader").sha256


def test_nothing_beside_the_pixels_counts_where_the_site_says_so(case: PhantomCase) -> None:
    bare = grade_with(DEFAULT.model_copy(update={"grade_by": ()}), case, BESIDE_PIXELS)

    assert [name for name, share in bare.modalities.items() if share.masked] == [*BESIDE_PIXELS]
    assert bare.probabilities == grade_with(DEFAULT, case, ()).probabilities


def test_findings_report_and_page_say_what_was_simulated(case: PhantomCase) -> None:
    result = case.result
    findings: Any = json.loads(result.findings_bytes())
    schema = json.loads((REPOSITORY / "docs" / "findings.schema.json").read_text())
    (sr,) = [item for item in result.objects if item.kind == ObjectKind.SR]
    texts = " ".join(
        str(item.TextValue) for item in walk(dcmread(BytesIO(sr.data))) if "TextValue" in item
    )

    jsonschema.validate(findings, schema)
    nodule = findings["nodules"][case.nodule.id - 1]
    shares = nodule["modalities"]
    assert [name for name, share in shares.items() if share.get("simulated")] == [*SIMULATED]
    assert shares[CT_REPORT] == {"present": False}
    assert nodule["pet"]["suv_max"] > 2
    assert SIMULATED_LIMIT.format(modalities=", ".join(BESIDE_PIXELS[1:])) in findings["limits"]
    assert PET_GRADED_LIMIT in findings["limits"]
    assert PET_LIMIT not in findings["limits"]
    assert "learned from SIMULATED patients" in texts
    assert result.features is not None
    assert set(result.features.modalities) == {*FROM_PIXELS, CT_REPORT}


def test_a_report_names_what_is_masked(case: PhantomCase) -> None:
    graded = replace(case.nodule, grade=grade_with(DEFAULT, case, BESIDE_PIXELS))
    content = to_report_content(
        replace(case.result.findings, nodules=(graded,)), revision=1, tracking_uids=["1.2"]
    )

    assert content.nodules[0].masked == SIMULATED
    assert not any(share.simulated for share in content.nodules[0].contributions)


def test_the_multimodal_bank_holds_the_same_reader_rated_cases_and_says_what_was_made_up() -> None:
    facts = load_weights("grader", multimodal_folder(None)).facts
    bank = load_bank(multimodal_folder(None) / BANK_FILE, sha256=facts["bank_sha256"])
    usual = load_bank(SHIPPED / BANK_FILE)

    assert [record.case_id for record in bank.records] == [
        record.case_id for record in usual.records
    ]
    assert {record.evidence for record in bank.records} == {"reader-rated"}
    assert bank.version.startswith("simulated-")
    assert all("SIMULATED" in record.source for record in bank.records)
    assert not EXCLUDED_PATIENTS & {record.patient for record in bank.records}
    assert set(facts["simulated"]) == set(SIMULATED)
    assert "simulated" not in load_weights("grader").facts
    assert facts["described"] == load_weights("grader").facts["described"]
    assert len(facts["calibration"]) == 16


def test_the_command_prints_sixteen_rows_and_the_default(
    case: PhantomCase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(modality_evaluation, "analyse_phantom", lambda *_: case)
    figures = tmp_path / "figures.json"

    done = CliRunner().invoke(app, ["evaluate", "modalities", "--json", str(figures)])

    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + len(SETS)
    assert "masked by setting: clinical, serology, pet" in done.stdout
    written = json.loads(figures.read_text())["phantom"]
    assert [one["given"] for one in written["sets"]] == [list(given) for given in SETS]
    assert written["by_default"]["level"] == grade_with(DEFAULT, case, BESIDE_PIXELS).level
