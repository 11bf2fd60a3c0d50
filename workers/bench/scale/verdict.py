"""What became of each study, by the service's own word and by what stands at the PACS.

The PACS decides about results: which reports and segmentations came for a study, under which
revision, of whom. The database decides about states. Both must fit what was sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage, SegmentationStorage
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.mini_pacs import Record
from dicom_node.receive.spool import sop_uid_of
from workers.bench.scale.day import Kind
from workers.bench.scale.sending import Acknowledged
from workers.bench.scale.studies import Sent
from workers.state.database import Database
from workers.state.schema import ENDS, Instance, Job, JobState, KeptAside, Notice

KINDS = {str(ComprehensiveSRStorage): "SR", str(SegmentationStorage): "SEG"}
ENDS_OF: Mapping[Kind, tuple[JobState, str | None]] = {
    Kind.TRUNCATED: (JobState.QUARANTINED, "truncated"),
    Kind.MISSING: (JobState.NOT_ELIGIBLE, "missing_slices"),
    Kind.NOT_CT: (JobState.NOT_ELIGIBLE, "not_ct"),
    Kind.FOREIGN: (JobState.QUARANTINED, "conflicting_patient"),
}
"""How what is not good must end; what is good must be confirmed."""
TOLD = frozenset({Kind.TRUNCATED, Kind.MISSING})
"""Of which a report must say that nothing could be analysed: a chest CT that somebody waits for,
and no doubt whose it is."""


@dataclass(slots=True)
class Verdict:
    """Problems, each naming its study, and counts."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    """Objects under another patient than their study's, or of a study that nobody sent."""
    counts: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    """Of good studies, second and later ones included."""
    resends: int = 0
    """C-STOREs of the same bytes again, which a PACS ignores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """One object at the PACS: every content that came under its UID."""

    kind: str
    patient_id: str
    revision: int
    contents: frozenset[str]


def judge(told: Acknowledged, database: Database, records: Sequence[Record]) -> Verdict:
    """Compare what was sent with the service's end and with what the PACS has."""
    verdict = Verdict()
    at_pacs = _by_study(records)
    verdict.resends = len(records) - len({(item.sop_instance_uid, item.sha256) for item in records})
    with database.read() as session:
        for sent in told.sent:
            _judge_study(session, verdict, sent, told, at_pacs.pop(sent.study_uid, []))
    verdict.misplaced += [f"study {uid}: nobody sent it" for uid in at_pacs]
    return verdict


def has_ended(told: Acknowledged, session: Session) -> bool:
    """Whether every study's newest job is at an end, and every report that must be told."""
    newest = _newest_jobs(session)
    notices = set(
        session.scalars(
            select(Job.study_uid)
            .join(Notice, Notice.job_id == Job.id)
            .where(Job.state == JobState.CONFIRMED)
        )
    )
    for sent in told.sent:
        kind = sent.study.kind
        if kind is Kind.STRANGER:
            continue
        state = newest.get(sent.series_uid)
        if state is None or JobState(state) not in ENDS:
            return False
        if kind in TOLD and sent.study_uid not in notices:
            return False
    return True


def _newest_jobs(session: Session) -> dict[str, str]:
    """Series -> state of its newest revision."""
    jobs = session.execute(select(Job.series_uid, Job.state).order_by(Job.revision)).all()
    return {job.series_uid: job.state for job in jobs}  # later revisions take the place


def _by_study(records: Sequence[Record]) -> dict[str, list[_Object]]:
    """Objects by Study Instance UID, as the files say."""
    contents: dict[str, set[str]] = defaultdict(set)
    newest = {}
    for item in records:
        contents[item.sop_instance_uid].add(item.sha256)
        newest[item.sop_instance_uid] = item
    found: dict[str, list[_Object]] = defaultdict(list)
    for uid, item in newest.items():
        ds = dcmread(item.path, stop_before_pixels=True)
        found[str(ds.StudyInstanceUID)].append(
            _Object(
                kind=KINDS.get(item.sop_class_uid, item.sop_class_uid),
                patient_id=str(ds.PatientID),
                revision=int(ds.InstanceNumber),
                contents=frozenset(contents[uid]),
            )
        )
    return found


def _judge_study(
    session: Session, verdict: Verdict, sent: Sent, told: Acknowledged, found: list[_Object]
) -> None:
    study, name = sent.study, f"study {sent.study.number} ({sent.study.kind})"
    jobs = session.scalars(
        select(Job).where(Job.series_uid == sent.series_uid).order_by(Job.revision)
    ).all()
    _judge_objects(verdict, sent, name, found)
    if study.kind is Kind.STRANGER:
        verdict.counts["unknown caller"] += 1
        if jobs:
            verdict.misplaced.append(f"{name}: it was taken")
        return
    verdict.lost += [f"{name}: {what}" for what in _lost_instances(session, sent, told)]
    if not jobs:
        verdict.lost.append(f"{name}: no job")
        return
    newest = jobs[-1]
    verdict.counts[newest.state] += 1
    wanted = ENDS_OF.get(study.kind, (JobState.CONFIRMED, None))
    if (newest.state, newest.reason_code) != wanted:
        verdict.lost.append(
            f"{name}: ended as {newest.state} ({newest.reason_code}), must be {wanted[0]}"
        )
    revisions = {(item.kind, item.revision) for item in found}
    if study.is_good:
        verdict.revisions += len({revision for _, revision in revisions})
        if newest.instance_count != len(sent.instances):
            verdict.lost.append(
                f"{name}: {newest.instance_count} of {len(sent.instances)} instances analysed"
            )
        verdict.lost += [
            f"{name}: no {kind} of revision {newest.revision} at the PACS"
            for kind in KINDS.values()
            if (kind, newest.revision) not in revisions
        ]
    elif study.kind in TOLD and not found:
        verdict.lost.append(f"{name}: no report that says that it was not analysed")


def _judge_objects(verdict: Verdict, sent: Sent, name: str, found: list[_Object]) -> None:
    """At most one object of each kind and revision; none that must not be there."""
    kinds = Counter((item.kind, item.revision) for item in found)
    allowed = set(KINDS.values()) if sent.study.is_good else set()
    if sent.study.kind in TOLD:
        allowed = {"SR"}
    for (kind, revision), count in kinds.items():
        if kind not in allowed or (not sent.study.is_good and count + revision > 2):
            verdict.doubled.append(f"{name}: {kind} of revision {revision}, none is due")
        elif count > 1:
            verdict.doubled.append(f"{name}: {count} {kind} of revision {revision}")
    for item in found:
        if len(item.contents) > 1:
            verdict.doubled.append(f"{name}: {len(item.contents)} versions of one {item.kind}")
        if item.patient_id != sent.patient_id:
            verdict.misplaced.append(f"{name}: a {item.kind} of another patient")


def _lost_instances(session: Session, sent: Sent, told: Acknowledged) -> list[str]:
    """Acknowledged instances that are neither in the index nor kept aside."""
    acknowledged = told.uids[sent.study.number]
    kept = set(
        session.scalars(
            select(Instance.sop_uid).where(
                Instance.series_uid == sent.series_uid, Instance.stored.is_(True)
            )
        )
    )
    aside = {
        sop_uid_of(name)
        for name in session.scalars(
            select(KeptAside.name)
            .join(Job, Job.id == KeptAside.job_id)
            .where(Job.study_uid == sent.study_uid)
        )
    }
    missing = acknowledged - kept - aside
    unsent = len(set(sent.instances.values()) - acknowledged)
    return [
        *([f"{len(missing)} acknowledged instances are gone"] if missing else []),
        *([f"{unsent} instances were never acknowledged"] if unsent else []),
    ]


def in_numbers(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON."""
    return {
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "misplaced": verdict.misplaced,
        "ends": dict(verdict.counts),
        "revisions_at_pacs": verdict.revisions,
        "resends": verdict.resends,
    }
