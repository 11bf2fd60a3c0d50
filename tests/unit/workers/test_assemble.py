"""Which series is whole, whose it is, and which of a study's series is analysed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import update

from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series as series_of
from tests.migrated import migrated_application
from tests.unit.workers.rows import (
    alarms,
    change,
    get_job,
    history,
    job_of,
    receive,
    set_state,
    with_settings,
)
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Instance, Job, JobState
from workers.usecases.assemble import assemble_due, queue_due

RULES = load_rules(None)
SLICES = 16
"""The fewest that are a series."""
QUERY = {"ae_title": "PACS", "host": "127.0.0.1", "port": 1}


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Application]]:
    opened: list[Application] = []

    def build(**changes: Any) -> Application:
        opened.append(migrated_application(with_settings(settings, **changes)))
        return opened[-1]

    yield build
    for app in opened:
        app.database.close()


def plain_series(key: str, slices: int = SLICES) -> list[Dataset]:
    return series_of(key, slices)


def uid_of(ds: Dataset) -> str:
    return str(ds.SeriesInstanceUID)


def quiet(app: Application, uid: str) -> float:
    """The first moment at which the series counts as quiet."""
    return job_of(app, uid).last_instance_at + app.settings.quiet_time_s


def waited(app: Application, uid: str) -> float:
    """The moment at which waiting for more is over."""
    return job_of(app, uid).last_instance_at + app.settings.incomplete_wait_s


def assemble(app: Application, ds: Dataset, now: float) -> Job:
    assemble_due(app, RULES, now=now)
    return job_of(app, uid_of(ds))


def one_study(*keys: str, slices: tuple[int, ...]) -> list[list[Dataset]]:
    series = [plain_series(key, count) for key, count in zip(keys, slices, strict=True)]
    for datasets in series[1:]:
        for ds in datasets:
            ds.StudyInstanceUID = series[0][0].StudyInstanceUID
            ds.PatientID, ds.PatientName = series[0][0].PatientID, series[0][0].PatientName
    return series


def complete(app: Application, *all_series: list[Dataset], tmp_path: Path) -> float:
    """Let series arrive and be whole; the moment at which their study's hold is over."""
    for datasets in all_series:
        receive(app, tmp_path, *datasets)
    moment = max(quiet(app, uid_of(datasets[0])) for datasets in all_series)
    assemble_due(app, RULES, now=moment)
    return moment + app.settings.study_hold_s


def test_a_whole_series_is_complete_once_it_was_quiet_and_not_before(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("whole")
    receive(app, tmp_path, *datasets)
    moment = quiet(app, uid_of(datasets[0]))

    assert assemble(app, datasets[0], moment - 0.1).state == JobState.RECEIVING
    assert assemble(app, datasets[0], moment).state == JobState.COMPLETE


@pytest.mark.parametrize(
    ("policy", "state"), [("refuse", JobState.NOT_ELIGIBLE), ("analyse", JobState.COMPLETE)]
)
def test_a_series_with_a_hole_waits_to_its_limit_and_then_follows_the_policy(
    make: Callable[..., Application], tmp_path: Path, policy: str, state: JobState
) -> None:
    app = make(incomplete_policy=policy)
    datasets = plain_series("hole")
    receive(app, tmp_path, *datasets[:7], *datasets[9:])
    limit = waited(app, uid_of(datasets[0]))

    waiting = assemble(app, datasets[0], limit - 1)
    assert waiting.state == JobState.RECEIVING
    assert "2 slices missing" in (waiting.reason or "")
    job = assemble(app, datasets[0], limit)
    assert job.state == state
    assert "2 slices missing" in " ".join([job.reason or "", *job.warnings])


def test_a_slice_that_fills_the_hole_ends_the_wait(app: Application, tmp_path: Path) -> None:
    datasets = plain_series("filled")
    receive(app, tmp_path, *datasets[:7], *datasets[8:])
    assemble(app, datasets[0], quiet(app, uid_of(datasets[0])))
    receive(app, tmp_path, datasets[7])

    job = assemble(app, datasets[0], quiet(app, uid_of(datasets[0])))

    assert job.state == JobState.COMPLETE
    assert "missing" not in " ".join(job.warnings)


def test_a_forced_series_waits_for_nothing_and_carries_its_warning(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("forced")
    receive(app, tmp_path, *datasets[:7], *datasets[9:])
    change(app, Job, job_of(app, uid_of(datasets[0])).id, forced=True)

    job = assemble(app, datasets[0], job_of(app, uid_of(datasets[0])).last_instance_at)

    assert job.state == JobState.COMPLETE
    assert "analysed although incomplete" in job.warnings[-1]


def test_a_series_is_not_complete_before_all_of_it_stands_in_the_store(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("unstored")
    receive(app, tmp_path, *datasets)
    change(app, Instance, str(datasets[3].SOPInstanceUID), stored=False)
    change(app, Job, job_of(app, uid_of(datasets[0])).id, forced=True)

    job = assemble(app, datasets[0], waited(app, uid_of(datasets[0])))

    assert job.state == JobState.RECEIVING
    assert job.reason == "1 instances do not stand in the object store yet"


def test_a_series_cut_short_is_held_and_asks_to_be_sent_again(
    app: Application, tmp_path: Path
) -> None:
    first, *others = plain_series("cut")
    receive(app, tmp_path, first, cut=100)
    receive(app, tmp_path, *others)

    job = assemble(app, first, quiet(app, uid_of(first)))

    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "truncated")
    assert "1 of 16 instances are cut short" in (job.reason or "")


def test_a_job_of_which_no_file_can_be_used_is_held_and_not_complete(
    app: Application, tmp_path: Path
) -> None:
    (ours,) = plain_series("ours", slices=1)
    (stranger,) = plain_series("stranger", slices=1)
    stranger.StudyInstanceUID = ours.StudyInstanceUID
    receive(app, tmp_path, ours)
    receive(app, tmp_path, stranger)
    set_state(app, uid_of(stranger), JobState.RECEIVING)

    job = assemble(app, stranger, quiet(app, uid_of(stranger)))

    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "no_instances")


def test_a_correction_that_reached_some_slices_only_waits_and_is_then_held(
    make: Callable[..., Application], tmp_path: Path
) -> None:
    app = make(incomplete_policy="analyse")
    datasets = plain_series("half corrected")
    receive(app, tmp_path, *datasets)
    for ds in datasets[:8]:
        ds.PatientName = "Right^Name"
    receive(app, tmp_path, *datasets[:8])

    waiting = assemble(app, datasets[0], quiet(app, uid_of(datasets[0])))
    job = assemble(app, datasets[0], waited(app, uid_of(datasets[0])))

    assert waiting.state == JobState.RECEIVING
    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "conflicting_patient")
    assert ("job_stopped", str(job.id)) in alarms(app)


def test_a_series_whose_sibling_names_another_patient_now_is_not_analysed(
    make: Callable[..., Application], tmp_path: Path
) -> None:
    app = make(incomplete_policy="analyse")
    first, second = one_study("first", "second", slices=(SLICES, SLICES))
    receive(app, tmp_path, *first, *second)
    for ds in second:
        ds.PatientName = "Right^Name"
    receive(app, tmp_path, *second)

    assemble_due(app, RULES, now=waited(app, uid_of(second[0])))

    assert job_of(app, uid_of(second[0])).state == JobState.COMPLETE
    held = job_of(app, uid_of(first[0]))
    assert (held.state, held.reason_code) == (JobState.QUARANTINED, "conflicting_patient")


def test_force_does_not_send_a_series_of_two_patients_through(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("forced, two patients")
    receive(app, tmp_path, *datasets)
    datasets[0].PatientID = "OTHER"
    receive(app, tmp_path, datasets[0])
    change(app, Job, job_of(app, uid_of(datasets[0])).id, forced=True)

    job = assemble(app, datasets[0], quiet(app, uid_of(datasets[0])))

    assert (job.state, job.reason_code) == (JobState.QUARANTINED, "conflicting_patient")


@pytest.mark.parametrize("policy", ["refuse", "analyse"])
def test_a_pacs_that_stays_silent_stops_no_series_that_is_whole(
    make: Callable[..., Application], tmp_path: Path, policy: str
) -> None:
    app = make(pacs_query=QUERY, incomplete_policy=policy)
    datasets = plain_series("silent")
    receive(app, tmp_path, *datasets)

    waiting = assemble(app, datasets[0], quiet(app, uid_of(datasets[0])))
    job = assemble(app, datasets[0], waited(app, uid_of(datasets[0])))

    assert waiting.state == JobState.RECEIVING
    assert job.state == JobState.COMPLETE
    assert "has not said twice alike" in job.warnings[-1]


def test_a_silent_pacs_is_no_excuse_for_a_hole(
    make: Callable[..., Application], tmp_path: Path
) -> None:
    app = make(pacs_query=QUERY)
    datasets = plain_series("silent, with a hole", slices=18)
    receive(app, tmp_path, *datasets[:7], *datasets[9:])

    job = assemble(app, datasets[0], waited(app, uid_of(datasets[0])))

    assert (job.state, job.reason_code) == (JobState.NOT_ELIGIBLE, "missing_slices")


def test_a_series_of_which_the_pacs_holds_more_is_refused_under_that_name(
    make: Callable[..., Application], tmp_path: Path
) -> None:
    app = make(pacs_query=QUERY)
    datasets = plain_series("more")
    receive(app, tmp_path, *datasets)
    change(app, Job, 1, pacs_answer=30, pacs_answers_alike=2, pacs_asked_at=1.0)

    job = assemble(app, datasets[0], waited(app, uid_of(datasets[0])))

    assert (job.state, job.reason_code) == (JobState.NOT_ELIGIBLE, "fewer_than_pacs")
    assert "the PACS holds 30 instances of it, 16 came" in (job.reason or "")


@pytest.mark.parametrize(
    ("agrees", "forced", "state"),
    [
        (True, False, JobState.COMPLETE),
        (False, False, JobState.QUARANTINED),
        (None, False, JobState.QUARANTINED),
        (False, True, JobState.COMPLETE),
    ],
)
def test_a_corrected_series_is_analysed_if_the_pacs_agrees_or_a_person_insists(
    make: Callable[..., Application],
    tmp_path: Path,
    agrees: bool | None,
    forced: bool,
    state: JobState,
) -> None:
    app = make(pacs_query=QUERY, incomplete_policy="analyse")
    datasets = plain_series("agreed")
    receive(app, tmp_path, *datasets)
    change(
        app, Job, 1, correction="patient_name", pacs_agrees=agrees, pacs_answer=SLICES,
        pacs_answers_alike=2, pacs_asked_at=1.0, forced=forced,
    )  # fmt: skip

    assert assemble(app, datasets[0], waited(app, uid_of(datasets[0]))).state == state


def test_the_best_series_of_a_study_is_queued_and_the_other_one_says_which(
    app: Application, tmp_path: Path
) -> None:
    short, long = one_study("short", "long", slices=(16, 18))
    hold_over = complete(app, short, long, tmp_path=tmp_path)

    assert queue_due(app, now=hold_over - 0.1) == 0
    assert queue_due(app, now=hold_over) == 1

    assert job_of(app, uid_of(long[0])).state == JobState.QUEUED
    other = job_of(app, uid_of(short[0]))
    assert (other.state, other.reason_code) == (JobState.NOT_ELIGIBLE, "better_series_chosen")
    assert uid_of(long[0]) in (other.reason or "")


def test_a_study_waits_for_the_series_that_is_still_coming_in(
    app: Application, tmp_path: Path
) -> None:
    here, coming = one_study("here", "coming", slices=(SLICES, SLICES))
    hold_over = complete(app, here, tmp_path=tmp_path)
    receive(app, tmp_path, coming[0])

    assert queue_due(app, now=hold_over + 1) == 0


def test_a_better_series_that_comes_later_is_queued_and_a_worse_one_is_not(
    app: Application, tmp_path: Path
) -> None:
    middle, better, worse = one_study("middle", "better", "worse", slices=(17, 18, 16))
    hold_over = complete(app, middle, tmp_path=tmp_path)
    queue_due(app, now=hold_over)
    set_state(app, uid_of(middle[0]), JobState.ANALYSING)
    for late in (worse, better):
        queue_due(app, now=complete(app, late, tmp_path=tmp_path))

    assert job_of(app, uid_of(better[0])).state == JobState.QUEUED
    assert job_of(app, uid_of(worse[0])).reason_code == "better_series_chosen"


def test_a_forced_series_is_queued_beside_the_best_one(app: Application, tmp_path: Path) -> None:
    wanted, best = one_study("wanted", "best", slices=(16, 18))
    hold_over = complete(app, wanted, best, tmp_path=tmp_path)
    change(app, Job, job_of(app, uid_of(wanted[0])).id, forced=True)

    assert queue_due(app, now=hold_over) == 2

    job = job_of(app, uid_of(wanted[0]))
    assert history(app, job.id)[-1] == "queued: forced by an administrator"


def test_one_series_that_cannot_be_judged_holds_no_other_back(
    app: Application, tmp_path: Path
) -> None:
    first, second = plain_series("gone"), plain_series("fine")
    receive(app, tmp_path, *first)
    receive(app, tmp_path, *second)
    with app.database.write() as session:
        session.execute(
            update(Instance).where(Instance.series_uid == uid_of(first[0])).values(series_uid="9")
        )

    assert assemble_due(app, RULES, now=quiet(app, uid_of(second[0]))) == 2

    assert get_job(app, job_of(app, uid_of(first[0])).id).reason_code == "no_instances"
    assert job_of(app, uid_of(second[0])).state == JobState.COMPLETE
