"""One action on one job or on many, by its name: for the API, pages with check boxes, commands."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from workers.application import Application
from workers.errors import IllegalTransition, NoSuchJob
from workers.state.jobs import find_job
from workers.state.schema import JobState, Priority
from workers.usecases import administer
from workers.usecases.audit import Actor
from workers.usecases.begin_deliveries import release


class JobAction(enum.StrEnum):
    """What can be done to a job."""

    RETRY = "retry"
    CANCEL = "cancel"
    FORCE = "force"
    RELEASE = "release"
    """The radiologist's report is signed: what is withheld of the job's study leaves."""
    URGENT = "urgent"
    NORMAL = "normal"
    OFF_PEAK = "off_peak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of an action on a job.

    Attributes
    ----------
    state : str
        The job's state afterwards.
    released : int
        Deliveries that a release let go.
    why : str
        Why it was refused; empty when it was done.
    """

    job: int
    state: str = ""
    released: int = 0
    why: str = ""


PRIORITIES = {
    JobAction.URGENT: Priority.URGENT,
    JobAction.NORMAL: Priority.NORMAL,
    JobAction.OFF_PEAK: Priority.OFF_PEAK,
}


def act(app: Application, action: JobAction, job_id: int, *, by: Actor) -> Done:
    """Do it to one job.

    Raises
    ------
    NoSuchJob
        If there is no such job.
    IllegalTransition
        If its state does not allow it.
    """
    wanted = str(job_id)
    if action in PRIORITIES:
        administer.set_priority(app, wanted, PRIORITIES[action], by=by)
    elif action is JobAction.RELEASE:
        released = release(app, wanted, by=by)[1]
        return Done(job=job_id, state=_state(app, job_id), released=released)
    else:
        verbs: dict[JobAction, Callable[..., JobState]] = {
            JobAction.RETRY: administer.retry,
            JobAction.CANCEL: administer.cancel,
            JobAction.FORCE: administer.force,
        }
        return Done(job=job_id, state=verbs[action](app, wanted, by=by))
    return Done(job=job_id, state=_state(app, job_id))


def act_on_many(
    app: Application, action: JobAction, job_ids: Sequence[int], *, by: Actor
) -> list[Done]:
    """Do it to each of several jobs; one that does not allow it says why, and the others go on."""
    outcomes = []
    for job_id in dict.fromkeys(job_ids):
        try:
            outcomes.append(act(app, action, job_id, by=by))
        except (IllegalTransition, NoSuchJob) as error:
            outcomes.append(Done(job=job_id, why=str(error)))
    return outcomes


def number_of(session: Session, wanted: str) -> int:
    """Number of the job with this number, or of the newest of this Series Instance UID.

    Raises
    ------
    NoSuchJob
        If there is none.
    """
    return find_job(session, wanted).id


def _state(app: Application, job_id: int) -> str:
    with app.database.read() as session:
        return find_job(session, str(job_id)).state
