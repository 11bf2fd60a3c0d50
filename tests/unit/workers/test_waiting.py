"""A series that waits is judged when something of it changed, not at every look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicom_node.read.eligibility import load_rules
from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import accept, change, get_job, job_of, receive, with_settings
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Instance, Job, JobState
from workers.usecases import assemble
from workers.usecases.assemble import assemble_due
from workers.usecases.index import index_inbox
from workers.usecases.waiting import Waiting

QUIET_S, WAIT_S = 20.0, 300.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_settings(settings, quiet_time_s=QUIET_S, incomplete_wait_s=WAIT_S)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the jobs whose headers were read."""
    found: list[int] = []
    real = assemble._assemble

    def note(session: Any, job: Job, *arguments: Any) -> bool:
        found.append(job.id)
        return real(session, job, *arguments)

    monkeypatch.setattr(assemble, "_assemble", note)
    return found


class Looks:
    """A node that looks at a series with a hole."""

    def __init__(self, app: Application, folder: Path) -> None:
        self.app = app
        self.datasets = plain_series("hole")
        receive(app, folder, *self.datasets[:9], *self.datasets[11:])
        self.job = job_of(app, str(self.datasets[0].SeriesInstanceUID))
        self.waiting = Waiting()

    def look(self, after_s: float) -> int:
        now = self.job.last_instance_at + after_s
        return assemble_due(self.app, load_rules(None), now=now, waiting=self.waiting)


@pytest.fixture
def looks(app: Application, tmp_path: Path) -> Looks:
    return Looks(app, tmp_path)


def test_nothing_changed_and_it_is_judged_once_in_a_quiet_time(
    looks: Looks, judged: list[int]
) -> None:
    for second in range(20, 60):
        looks.look(float(second))

    assert len(judged) == 2


def test_what_came_meanwhile_has_it_judged_at_once(
    looks: Looks, judged: list[int], tmp_path: Path
) -> None:
    looks.look(QUIET_S)
    receive(looks.app, tmp_path / "late", *looks.datasets[9:11])
    looks.job = get_job(looks.app, looks.job.id)

    assert looks.look(QUIET_S) == 1
    assert get_job(looks.app, looks.job.id).state == JobState.COMPLETE
    assert len(judged) == 2


@pytest.mark.parametrize(
    "change_of_job",
    [{"forced": True}, {"pacs_answer": 22}, {"pacs_answers_alike": 2}, {"correction": "patient"}],
)
def test_what_somebody_said_has_it_judged_at_once(
    looks: Looks, judged: list[int], change_of_job: dict[str, Any]
) -> None:
    looks.look(QUIET_S)
    change(looks.app, Job, looks.job.id, **change_of_job)

    looks.look(QUIET_S + 1)

    assert len(judged) == 2


def test_what_the_store_took_has_it_judged_at_once(looks: Looks, judged: list[int]) -> None:
    uid = str(looks.datasets[0].SOPInstanceUID)
    change(looks.app, Instance, uid, stored=False)
    looks.look(QUIET_S)
    change(looks.app, Instance, uid, stored=True)

    looks.look(QUIET_S + 1)

    assert len(judged) == 2


def test_the_end_of_its_wait_is_not_overslept(looks: Looks) -> None:
    looks.look(WAIT_S - 1)

    assert looks.look(WAIT_S - 0.5) == 0
    assert looks.look(WAIT_S) == 1
    assert get_job(looks.app, looks.job.id).state == JobState.NOT_ELIGIBLE


def test_a_clock_that_went_back_does_not_put_it_to_sleep(looks: Looks, judged: list[int]) -> None:
    looks.look(QUIET_S + 100)
    looks.look(QUIET_S + 10)

    assert len(judged) == 2


def test_a_judgement_that_the_database_cut_off_is_made_again(
    looks: Looks, judged: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    receive(looks.app, tmp_path / "other", *plain_series("other hole")[:5])
    with monkeypatch.context() as patch:
        patch.setattr(assemble, "_assemble", full)
        with pytest.raises(OSError, match="No space"):
            looks.look(QUIET_S + 60)

    looks.look(QUIET_S + 61)

    assert len(set(judged)) == 2


def test_a_series_that_went_is_forgotten_and_judged_when_it_is_back(
    looks: Looks, judged: list[int], tmp_path: Path
) -> None:
    looks.look(QUIET_S)
    change(looks.app, Job, looks.job.id, state=JobState.NOT_ELIGIBLE)
    looks.look(QUIET_S + 1)
    change(looks.app, Job, looks.job.id, state=JobState.RECEIVING)
    accept(looks.app, tmp_path / "again", looks.datasets[0])  # equal to what is there
    index_inbox(looks.app)

    looks.look(QUIET_S + 2)

    assert len(judged) == 2
