"""One file that cannot be read, kept or indexed, and our own results that come back."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from dicom_node.errors import SeriesRejected
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import accept, history, job_of, receive, set_state
from workers.application import Application
from workers.errors import IllegalTransition, StoreUnavailable
from workers.state.schema import Instance, JobState
from workers.state.store import FolderStore
from workers.usecases import index, revise
from workers.usecases.index import index_inbox


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Let the store not take these inbox files; returns which files it is asked to take."""
    asked: list[str] = []
    put_file = FolderStore.put_file

    def put_some(self: FolderStore, key: str, source: Path) -> None:
        asked.append(source.name)
        if source.name in names:
            raise StoreUnavailable(key, "PermissionError")
        put_file(self, key, source)

    monkeypatch.setattr(FolderStore, "put_file", put_some)
    return asked


def test_a_file_that_the_store_does_not_take_holds_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad,) = plain_series("refused", slices=1)
    good = plain_series("behind it", slices=2)
    accept(app, tmp_path, bad)
    (stuck,) = app.spool.inbox()
    accept(app, tmp_path, *good)
    refuse(monkeypatch, stuck.name)

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="PermissionError"):
            index_inbox(app)

    assert app.spool.inbox() == [stuck]
    assert job_of(app, str(good[0].SeriesInstanceUID)).instance_count == 2
    job = job_of(app, str(bad.SeriesInstanceUID))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 1)
    with app.database.read() as session:
        kept = {row.sop_uid: row.stored for row in session.scalars(select(Instance))}
        assert kept == {str(bad.SOPInstanceUID): False} | {
            str(ds.SOPInstanceUID): True for ds in good
        }


def test_many_files_in_a_row_that_the_store_does_not_take_hold_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(app, tmp_path, *plain_series("refused", slices=7))
    stuck = app.spool.inbox()
    (good,) = plain_series("behind them", slices=1)
    accept(app, tmp_path, good)
    refuse(monkeypatch, *(path.name for path in stuck))

    with pytest.raises(StoreUnavailable):
        index_inbox(app)

    assert app.spool.inbox() == stuck
    assert len(app.store.keys("instances")) == 1


def test_a_store_that_is_away_is_not_asked_for_every_file(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(app, tmp_path, *plain_series("store away", slices=9))
    Path(app.settings.object_store_url).rename(tmp_path / "away")
    monkeypatch.setattr(index, "BATCH_SIZE", 2)
    asked = refuse(monkeypatch)

    with pytest.raises(StoreUnavailable):
        index_inbox(app)

    assert len(asked) == 3
    assert len(app.spool.inbox()) == 9


def test_a_file_that_the_disk_does_not_give_waits_and_holds_no_other_up(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = plain_series("one sector", slices=2)
    accept(app, tmp_path, bad)
    (stuck,) = app.spool.inbox()
    accept(app, tmp_path, good)
    once = Path.open

    def failing(self: Path, *arguments: Any, **more: Any) -> Any:
        if self.name == stuck.name:
            raise OSError(errno.EIO, "Input/output error")
        return once(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        with pytest.raises(OSError, match="Input/output error"):
            index_inbox(app)
    job = job_of(app, str(good.SeriesInstanceUID))
    waiting = app.spool.inbox()
    index_inbox(app)

    assert (job.instance_count, waiting) == (1, [stuck])
    assert job_of(app, str(good.SeriesInstanceUID)).instance_count == 2
    assert (app.spool.inbox(), app.spool.quarantined()) == ([], [])


def ours(ds: Dataset) -> Dataset:
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MANUFACTURER_MODEL_NAME
    ds.Modality = "SR"
    return ds


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.QUARANTINED, JobState.FAILED])
def test_our_own_result_that_comes_back_to_a_job_that_was_ended_leaves_it_so(
    app: Application, tmp_path: Path, state: JobState
) -> None:
    one, two = (ours(ds) for ds in plain_series("own", slices=2))
    receive(app, tmp_path, one)
    uid = str(one.SeriesInstanceUID)
    if state is JobState.FAILED:
        set_state(app, uid, JobState.RECEIVING)
    set_state(app, uid, state)

    receive(app, tmp_path, two)

    job = job_of(app, uid)
    assert (job.state, job.instance_count) == (state, 2)
    assert app.spool.inbox() == []
    told = "our own result came back: kept, never analysed (loop guard)"
    assert history(app, job.id)[-1] == told


def test_our_own_result_under_the_name_before_a_correction_holds_nothing(
    app: Application, tmp_path: Path
) -> None:
    first, late = plain_series("the patient", slices=2)
    (report,) = plain_series("our report", slices=1)
    report.StudyInstanceUID = first.StudyInstanceUID
    report.PatientName, report.PatientID = "Before^Correction", "before"
    receive(app, tmp_path, first)

    receive(app, tmp_path, ours(report))
    receive(app, tmp_path, late)

    assert job_of(app, str(report.SeriesInstanceUID)).reason_code == "own_object"
    job = job_of(app, str(first.SeriesInstanceUID))
    assert (job.state, job.instance_count) == (JobState.RECEIVING, 2)


@pytest.mark.parametrize("error", [IllegalTransition(1, "a", "b"), SeriesRejected("code", "why")])
def test_an_error_of_our_own_that_nobody_foresaw_is_one_files_and_not_the_inboxs(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    poison, good = plain_series("our own error", slices=2)
    accept(app, tmp_path, poison, good)
    once = revise.job_for_arrival

    def job_for_arrival(session, header, settings, *, now):  # type: ignore[no-untyped-def]
        if header.sop_instance_uid == str(poison.SOPInstanceUID):
            raise error
        return once(session, header, settings, now=now)

    monkeypatch.setattr(index, "job_for_arrival", job_for_arrival)

    index_inbox(app)

    assert job_of(app, str(good.SeriesInstanceUID)).instance_count == 1
    assert job_of(app, str(poison.SOPInstanceUID)).reason_code == "unreadable"
    assert (len(app.spool.inbox()), len(app.spool.quarantined())) == (0, 1)
