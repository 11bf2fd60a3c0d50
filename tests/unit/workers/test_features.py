"""What an analysis leaves of the rows that nodules were graded by, and which bank graded them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from dicom_node.read.ct_series import CtSeries
from inference.errors import BankRefused
from inference.findings import Nodule
from inference.grading.table import ModalityTable, table_of_values
from inference.grading.table_file import load_table
from tests.unit.workers.rows import empty_result
from workers.bank.changes import begin, roll_back
from workers.bank.current import find_shipped_bank, open_bank
from workers.bank.folder import BankFolder
from workers.bank.history import make_event
from workers.bank.plan import Change, carry_out
from workers.case import features_of, patient_of
from workers.cli.main import app
from workers.detector_choice import grading_of, judge_of
from workers.local import write_result
from workers.settings import Settings

ROWS = ({"ct": {"a": 1.5, "b": None}}, {}, {"ct": {"a": -0.25, "b": 2.0}})


def nodules(rows: tuple[dict[str, dict[str, float | None]], ...] = ROWS) -> list[Nodule]:
    """Nodules of which nothing but the features is looked at."""
    made = []
    for features in rows:
        nodule = object.__new__(Nodule)
        object.__setattr__(nodule, "features", features)
        made.append(nodule)
    return made


def series(patient_id: str, study: str = "1.2.3") -> CtSeries:
    header = Dataset()
    header.PatientID = patient_id
    header.StudyInstanceUID = study
    return CtSeries(hu=np.zeros((1, 1, 1), np.int16), affine=np.eye(4), headers=(header,))


def table() -> ModalityTable:
    made = features_of(nodules(), ["1.1", "1.2", "1.3"], "somebody")
    assert made is not None
    return made


def test_graded_nodules_have_a_row_under_their_tracking_uid() -> None:
    made = table()

    assert made.nodules.tolist() == ["1.1", "1.3"]
    assert made.names == {"ct": ("a", "b")}
    np.testing.assert_array_equal(made.features["ct"], [[1.5, np.nan], [-0.25, 2.0]])
    assert np.isnan(made.rating).all()
    assert features_of(nodules(({}, {})), ["1.1", "1.2"], "somebody") is None


def test_rows_go_to_values_and_back() -> None:
    made = table()
    again = table_of_values(
        [made.values_of(row) for row in range(2)], patients=["p", "p"], nodules=["1.1", "1.3"]
    )

    np.testing.assert_array_equal(again.features["ct"], made.features["ct"])
    with pytest.raises(ValueError, match="not the same columns"):
        table_of_values(
            [{"ct": {"a": 1.0}}, {"ct": {"b": 1.0}}], patients=["p", "p"], nodules=["1", "2"]
        )


def test_studies_of_one_person_have_one_text_that_is_not_the_id() -> None:
    first, second = patient_of(series("MRN-77", "1.2.3")), patient_of(series("MRN-77 ", "1.2.4"))

    assert first == second
    assert "MRN" not in first
    assert first != patient_of(series("MRN-78"))


def test_nobody_without_an_id_is_taken_for_somebody_else() -> None:
    assert patient_of(series("", "1.2.3")) != patient_of(series("", "1.2.4"))


def test_features_are_written_beside_the_findings_and_old_ones_go(tmp_path: Path) -> None:
    written = write_result(replace(empty_result(), features=table()), tmp_path)

    assert tmp_path / "features.npz" in written
    assert load_table(tmp_path / "features.npz").nodules.tolist() == ["1.1", "1.3"]
    assert tmp_path / "features.npz" not in write_result(empty_result(), tmp_path)
    assert not (tmp_path / "features.npz").exists()


def own_bank(tmp_path: Path) -> tuple[BankFolder, Settings]:
    """A site's copy of the shipped bank, and the settings that name it."""
    folder = BankFolder(tmp_path / "bank")
    shipped = find_shipped_bank(Settings())
    begin(folder, shipped.path, prefix="KGH", by="Ada Admin", sha256=shipped.sha256)
    return folder, Settings(bank_dir=folder.path, backend="torch")


def test_a_change_of_the_sites_bank_holds_for_the_next_job(tmp_path: Path) -> None:
    folder, settings = own_bank(tmp_path)
    first = judge_of(settings)
    assert judge_of(settings) is first
    before = open_bank(folder.need_current())
    after = before.without_cases([before.records[0].case_id], "KGH-v2")
    with folder.held():
        plan = Change(before=before, after=after)
        carry_out(folder, plan, folder.need_current(), make_event("remove", "Ada Admin"))

    second, grading = judge_of(settings), grading_of(settings)
    graded_with = None if grading is None else grading.bank_version
    roll_back(folder, by="Ada Admin", why="test")

    assert len(second.judge.bank) == len(first.judge.bank) - 1
    assert second.judge.bank.version == "KGH-v2"
    assert graded_with == "KGH-v2"
    assert judge_of(settings).judge.bank.version == first.judge.bank.version


def test_a_bank_that_is_not_there_is_never_replaced_by_the_shipped_one(tmp_path: Path) -> None:
    with pytest.raises(BankRefused, match="no current version") as caught:
        judge_of(Settings(bank_dir=tmp_path / "not mounted"))

    assert caught.value.transient


def test_a_bank_with_other_columns_than_the_grader_is_refused(tmp_path: Path) -> None:
    from tests.unit.workers.bank.cases import write_bank

    folder = BankFolder(tmp_path / "bank")
    begin(folder, write_bank(tmp_path / "other.safetensors"), prefix="KGH", by="Ada Admin")

    with pytest.raises(BankRefused, match="does not fit the trained grader"):
        judge_of(Settings(bank_dir=folder.path))


def test_the_help_names_the_features() -> None:
    told = CliRunner().invoke(app, ["analyse", "--help"]).output
    assert "features.npz" in "".join(told.split())
