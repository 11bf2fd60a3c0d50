"""What the PACS says of a series that is being received, asked over the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.mini_pacs import MiniPacs
from tests.integration.bad_series import plain_series
from tests.migrated import migrated_application
from tests.unit.workers.rows import (
    NOW,
    add_job,
    change,
    get_job,
    history,
    job_of,
    receive,
    with_settings,
)
from workers import clock
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Job, JobState
from workers.usecases import ask
from workers.usecases.ask import ask_due, pacs_questions


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    running = MiniPacs(folder=tmp_path / "pacs")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def app(settings: Settings, pacs: MiniPacs) -> Iterator[Application]:
    """An application that asks this PACS."""
    query = {"ae_title": "MINIPACS", "host": pacs.host, "port": pacs.port, "timeout_s": 2}
    opened = migrated_application(with_settings(settings, pacs_query=query))
    yield opened
    opened.database.close()


@pytest.fixture
def later(app: Application, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock, in quiet times since the last instance."""

    def set_clock(quiet_times: float) -> None:
        moment = NOW + quiet_times * app.settings.quiet_time_s
        monkeypatch.setattr(clock, "now", lambda: moment)

    set_clock(1)
    return set_clock


def series_entry(count: int | None, uid: str = "1.2.3") -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2", uid
    if count is not None:
        ds.NumberOfSeriesRelatedInstances = count
    return ds


def receiving(app: Application, **values: Any) -> int:
    return add_job(app, JobState.RECEIVING, **{"instance_count": 24, **values})


def codes(app: Application, job_id: int) -> list[str]:
    return [item.code for item in pacs_questions(get_job(app, job_id), app.settings)]


def test_a_count_is_believed_when_it_was_said_twice_alike(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    pacs.catalogue = [series_entry(24)]
    job_id = receiving(app)

    assert ask_due(app) == 1
    once = codes(app, job_id)
    later(2)
    assert ask_due(app) == 1

    assert once == ["pacs_silent"]
    assert codes(app, job_id) == []
    assert get_job(app, job_id).pacs_answer == 24


def test_a_series_is_asked_about_once_per_quiet_time(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    pacs.catalogue = [series_entry(24)]
    receiving(app)
    later(0.9)
    too_early = ask_due(app)
    later(1)
    ask_due(app)
    later(1.9)

    assert (too_early, ask_due(app)) == (0, 0)


def test_a_number_that_still_grows_is_asked_for_again(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    job_id = receiving(app, instance_count=30)
    for quiet_times, count in ((1, 24), (2, 30)):
        later(quiet_times)
        pacs.catalogue = [series_entry(count)]
        ask_due(app)

    assert codes(app, job_id) == ["pacs_silent"]
    later(3)
    ask_due(app)
    assert codes(app, job_id) == []
    assert history(app, job_id) == [
        "the PACS holds 24 instances of it",
        "the PACS holds 30 instances of it",
    ]


def test_a_pacs_that_holds_more_than_came_leaves_a_question(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    pacs.catalogue = [series_entry(30)]
    job_id = receiving(app)
    for quiet_times in (1, 2):
        later(quiet_times)
        ask_due(app)

    assert codes(app, job_id) == ["fewer_than_pacs"]


def test_a_pacs_that_knows_the_series_and_does_not_count_leaves_none(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    pacs.catalogue = [series_entry(None)]
    job_id = receiving(app)
    for quiet_times in (1, 2):
        later(quiet_times)
        ask_due(app)

    assert codes(app, job_id) == []


def test_a_pacs_that_falls_silent_has_said_nothing(
    app: Application, pacs: MiniPacs, later: Callable[[float], None]
) -> None:
    pacs.catalogue = [series_entry(24)]
    job_id = receiving(app)
    for quiet_times in (1, 2):
        later(quiet_times)
        ask_due(app)
    pacs.refuse_associations = True
    later(3)

    assert ask_due(app) == 1

    job = get_job(app, job_id)
    assert (job.pacs_answers_alike, job.pacs_answer) == (0, None)
    assert codes(app, job_id) == ["pacs_silent"]


@pytest.mark.parametrize(
    "values",
    [
        {"state": JobState.COMPLETE},
        {"forced": True},
        {"modality": "SR"},
        {"last_instance_at": NOW + 1},
    ],
    ids=["complete", "forced", "report", "not quiet"],
)
def test_nobody_asks_about_what_needs_no_answer(
    app: Application, later: Callable[[float], None], values: dict[str, Any]
) -> None:
    later(1)
    state = values.pop("state", JobState.RECEIVING)
    add_job(app, state, **values)

    assert ask_due(app) == 0


def test_without_a_configured_pacs_nobody_asks_and_nothing_is_open(settings: Settings) -> None:
    app = migrated_application(settings)
    job_id = receiving(app, correction="patient_name")

    assert ask_due(app) == 0
    assert codes(app, job_id) == []
    app.database.close()


def test_those_asked_about_longest_ago_come_first_and_the_rest_next_time(
    app: Application,
    pacs: MiniPacs,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ask, "JOBS_AT_ONCE", 2)
    pacs.catalogue = [series_entry(24)]
    later(5)
    lately, long_ago, never = (
        receiving(app, series_uid=f"1.2.{asked_at:g}", pacs_asked_at=asked_at)
        for asked_at in (NOW, NOW - 9, 0.0)
    )

    assert ask_due(app) == 2

    now = app.now()
    asked = {job_id: get_job(app, job_id).pacs_asked_at for job_id in (lately, long_ago, never)}
    assert asked == {lately: NOW, long_ago: now, never: now}


@pytest.mark.parametrize(
    ("says", "agrees", "left"),
    [
        ("Right^Name", True, []),
        ("Name^patient", False, ["correction_not_agreed"]),
        ("", True, []),  # an empty value says nothing
        (None, None, ["correction_not_agreed"]),
    ],
)
def test_the_pacs_is_asked_whose_study_a_corrected_one_is(
    app: Application,
    pacs: MiniPacs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    says: str | None,
    agrees: bool | None,
    left: list[str],
) -> None:
    (ds,) = plain_series("patient", slices=1)
    receive(app, tmp_path, ds)
    ds.PatientName = "Right^Name"
    receive(app, tmp_path, ds)
    job = job_of(app, str(ds.SeriesInstanceUID))
    change(app, Job, job.id, pacs_answers_alike=1, pacs_asked_at=1.0, pacs_answer=0)
    if says is not None:
        entry = Dataset()
        entry.StudyInstanceUID, entry.PatientName = ds.StudyInstanceUID, says
        pacs.catalogue = [entry]
    moment = job.last_instance_at + app.settings.quiet_time_s
    monkeypatch.setattr(clock, "now", lambda: moment)

    assert ask_due(app) == 1

    assert get_job(app, job.id).pacs_agrees is agrees
    assert codes(app, job.id) == left
