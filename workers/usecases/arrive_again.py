"""An instance whose UID is known arrives again: a repeat, a repair, a correction, or a lie.

Header and pixels are compared apart. Equal ones are ignored. With the same pixels the newer
header counts: where it changes what is said of patient or study, nothing under the old words
leaves the house any more, and a revision under the new ones is made. Other pixels under the
same UID are never accepted. A copy that arrived before the known one never replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.read.header import Identity, InstanceHeader
from workers.patient_key import patient_day
from workers.settings import Settings
from workers.state.jobs import current_job, move, note
from workers.state.schema import BEFORE_ANALYSIS, WITH_RESULT, Instance, Job, JobState
from workers.usecases.quarantine import (
    CONFLICTING_PATIENT,
    CORRECTION_NOT_AGREED,
    OLDER_COPY,
    PIXELS_CHANGED,
    arrived_ns,
    hold_job,
    keep_aside,
)
from workers.usecases.revise import drop_deliveries, has_result, job_for_arrival, new_job
from workers.usecases.revise_for_pet import revise_for_lost_pet

Outcome = Literal["keep", "release", "quarantine"]
INSTANCES_REMOVED = "instances_removed"
"""Why a series ends whose files were removed by policy and did not come again."""
HEALED_BY_CORRECTION = frozenset({CONFLICTING_PATIENT, CORRECTION_NOT_AGREED})
OF_THE_TRANSFER = frozenset(
    {"source_ae_title", "receiving_ae_title", "transfer_syntax_uid", "problems", "identity"}
)
"""Fields of a header that may differ between two copies of the same thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The copy that arrived."""

    header: InstanceHeader
    key: str
    name: str
    header_sha256: str
    pixels_sha256: str
    size_bytes: int
    received_at: float
    replayed: bool = False
    """Read back from the store while the index is rebuilt, not received now."""


def arrive_again(
    session: Session, settings: Settings, known: Instance, repeat: Repeat, *, now: float
) -> Outcome:
    """Write what follows from the copy; returns what becomes of its file."""
    if known.path == repeat.key:  # the same file, seen again after a crash
        return "keep"
    same_pixels = known.pixels_sha256 == repeat.pixels_sha256
    equal = same_pixels and known.header_sha256 == repeat.header_sha256
    older = arrived_ns(repeat.name) <= arrived_ns(known.path)
    if older and repeat.replayed and (same_pixels or repeat.header.truncated):
        return "release"  # a copy that the known one replaced
    known.times_received += 1
    if equal:
        return "keep" if _comes_back(session, known, repeat, now) else "release"
    if older and (same_pixels or repeat.header.truncated):
        _leave_aside(session, settings, known, repeat, now)
        return "quarantine"
    if known.header.get("truncated") and not (repeat.header.truncated or older):
        _replace(known, repeat)
        _repair(session, settings, known, repeat, now)
        return "keep"
    if not same_pixels:
        _refuse(session, settings, known, repeat, now)
        return "quarantine"
    changed = changed_attributes(InstanceHeader.from_json(known.header), repeat.header)
    _replace(known, repeat)
    if changed:
        _correct(session, settings, known, repeat, changed, now)
    return "keep"


def changed_attributes(old: InstanceHeader, new: InstanceHeader) -> tuple[str, ...]:
    """Names of what differs in two headers of one instance, patient and study first."""
    mine, theirs = old.identity.to_json(), new.identity.to_json()
    of_identity = [name for name in mine if mine[name] != theirs[name]]
    before, after = old.to_json(), new.to_json()
    of_image = [
        name for name in before if name not in OF_THE_TRANSFER and before[name] != after[name]
    ]
    return (*of_identity, *of_image)


def _comes_back(session: Session, known: Instance, repeat: Repeat, now: float) -> bool:
    """Whether a file that was removed (usecases/prune.py) is wanted again: its series waits."""
    job = current_job(session, known.series_uid)
    if known.removed_at is None or job is None:
        return False
    if job.reason_code == INSTANCES_REMOVED and job.state == JobState.NOT_ELIGIBLE:
        move(session, job, JobState.RECEIVING, "sent again: the series is judged again", at=now)
    if JobState(job.state) not in BEFORE_ANALYSIS:
        return False
    job.last_instance_at = now
    _replace(known, repeat)
    return True


def _replace(known: Instance, repeat: Repeat) -> None:
    """Let the row name the newer copy; the older one stays in the store under its own key."""
    known.path = repeat.key
    known.stored = False
    known.removed_at = None
    known.header = repeat.header.to_json()
    known.header_sha256 = repeat.header_sha256
    known.pixels_sha256 = repeat.pixels_sha256
    known.size_bytes = repeat.size_bytes
    known.received_at = repeat.received_at


def _repair(
    session: Session, settings: Settings, known: Instance, repeat: Repeat, now: float
) -> None:
    """A whole copy of an instance that had arrived cut short."""
    job = job_for_arrival(session, repeat.header, settings, now=now)
    job.last_instance_at = now
    job.patient_day = patient_day(repeat.header.identity)
    message = f"a whole copy of {known.sop_uid} replaced one that was cut short"
    if JobState(job.state) is JobState.QUARANTINED and job.reason_code == "truncated":
        move(session, job, JobState.RECEIVING, message, at=now)
    else:
        note(session, job, message, at=now)


def _leave_aside(
    session: Session, settings: Settings, known: Instance, repeat: Repeat, now: float
) -> None:
    """A copy that arrived before the known one: what it says was put right since."""
    job = current_job(session, known.series_uid)
    if job is None:
        job = job_for_arrival(session, repeat.header, settings, now=now)
    message = f"an older copy of {known.sop_uid} came after a newer one: it is kept aside"
    note(session, job, message, at=now)
    keep_aside(session, job, repeat.name, OLDER_COPY, now=now)


def _refuse(
    session: Session, settings: Settings, known: Instance, repeat: Repeat, now: float
) -> None:
    """Other pixels under the same UID: somebody has to find out which are right."""
    message = (
        f"{known.sop_uid} came again with other pixels under the same UID: the new file is kept "
        "aside, nothing more is sent until somebody decides"
    )
    for revision in session.scalars(select(Job).where(Job.series_uid == known.series_uid)).all():
        _stop_deliveries(session, revision, message, now, code=PIXELS_CHANGED)
    job = current_job(session, known.series_uid)
    if job is None:
        job = job_for_arrival(session, repeat.header, settings, now=now)
    elif has_result(session, job):
        job = new_job(
            session, repeat.header, settings,
            revision=job.revision + 1, message=message, now=now,
        )  # fmt: skip
    hold_job(session, job, PIXELS_CHANGED, message, now=now)
    keep_aside(session, job, repeat.name, PIXELS_CHANGED, now=now)


def _correct(
    session: Session,
    settings: Settings,
    known: Instance,
    repeat: Repeat,
    changed: tuple[str, ...],
    now: float,
) -> None:
    """The header changed, the pixels did not: what is known of the series is corrected."""
    words = ", ".join(changed)
    message = f"corrected by a newer copy: {words}"
    job = current_job(session, known.series_uid)
    if job is None:
        return
    day = job.patient_day
    for revision in session.scalars(select(Job).where(Job.series_uid == job.series_uid)).all():
        _stop_deliveries(session, revision, message, now)
    state = JobState(job.state)
    if has_result(session, job) or state is JobState.SUPERSEDED:
        job = new_job(
            session, repeat.header, settings,
            revision=job.revision + 1, message=message, now=now,
        )  # fmt: skip
    elif state is JobState.ANALYSING:
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code="corrected")
        job = new_job(
            session, repeat.header, settings,
            revision=job.revision + 1, message=message, now=now,
        )  # fmt: skip
    elif state is not JobState.RECEIVING:
        may_return = state is not JobState.CANCELLED and (
            state is not JobState.QUARANTINED or job.reason_code in HEALED_BY_CORRECTION
        )
        if may_return:
            move(session, job, JobState.RECEIVING, f"{message}: it waits again", at=now)
    names = dict.fromkeys((*(job.correction or "").split(", "), *changed))
    names.pop("", None)
    if job.correction != ", ".join(names):
        job.correction = ", ".join(names)
        note(session, job, message, at=now)
    job.last_instance_at = now
    job.patient_day = patient_day(repeat.header.identity)
    job.pacs_answers_alike = 0
    if job.patient_day != day:
        session.flush()
        revise_for_lost_pet(session, settings, day, now)
    if set(changed) & set(Identity.PATIENT):
        _hold_siblings(session, settings, job, repeat.header, now)


def _stop_deliveries(
    session: Session, job: Job, message: str, now: float, *, code: str = "corrected"
) -> None:
    """What is still on its way stays here; a job of which something was is superseded."""
    on_its_way = {JobState.DELIVERING, JobState.ANALYSED}  # or withheld
    if drop_deliveries(session, job, message) and job.state in on_its_way:
        move(session, job, JobState.SUPERSEDED, message, at=now, reason_code=code)


def _hold_siblings(
    session: Session, settings: Settings, job: Job, header: InstanceHeader, now: float
) -> None:
    """The other series of the study still carry the earlier patient: nothing of them leaves."""
    message = "the study's patient was corrected; this series waits for its own correction"
    siblings = session.scalars(
        select(Job).where(Job.study_uid == job.study_uid, Job.series_uid != job.series_uid)
    ).all()
    for sibling in siblings:
        theirs = session.scalars(
            select(Instance.header).where(Instance.series_uid == sibling.series_uid).limit(1)
        ).first()
        if theirs is None or not header.identity.patient_differences(
            Identity.from_json(theirs["identity"])
        ):
            continue
        state = JobState(sibling.state)
        if state in BEFORE_ANALYSIS - {JobState.RECEIVING}:
            move(session, sibling, JobState.RECEIVING, message, at=now)
            sibling.last_instance_at = now
        elif state is JobState.ANALYSING:
            move(session, sibling, JobState.SUPERSEDED, message, at=now, reason_code="corrected")
            new_job(
                session, InstanceHeader.from_json(theirs), settings,
                revision=sibling.revision + 1, message=message, now=now,
            )  # fmt: skip
        elif state in WITH_RESULT and drop_deliveries(session, sibling, message):
            hold_job(session, sibling, CONFLICTING_PATIENT, message, now=now)
