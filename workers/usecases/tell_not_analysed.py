"""A notice's job at work: the report that nothing of a study could be analysed, as final bytes.

Which studies get one, `notice` says; how it leaves and is proved, `deliver` and `confirm`, as for
any other result.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.compose.content import NotAnalysedSeries, ReportContent
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.sr_document import Reference
from dicom_node.compose.sr_not_analysed import compose_not_analysed
from dicom_node.read.header import InstanceHeader
from inference.findings_json import not_eligible_to_dict
from inference.pipeline import ALGORITHM_NAME, ALGORITHM_VERSION
from workers.application import Application
from workers.earlier_reports import EarlierReport, predecessor_of
from workers.state.jobs import Lease
from workers.state.schema import Instance, Job, Notice
from workers.state.store import put_content
from workers.translate import to_algorithm_content
from workers.usecases.commit import commit_notice, keep_object


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    study_uid: str
    key: str
    content: ReportContent
    evidence: tuple[Reference, ...]
    header_path: str


def tell_not_analysed(
    app: Application,
    lease: Lease,
    *,
    profiles: Sequence[Profile],
    created: datetime,
    earlier: Sequence[EarlierReport],
) -> None:
    """Compose the report, keep it and commit it; `commit` sees to whether it still holds.

    A destination gets it in its profile's dress, whichever objects that profile has: somebody
    waits for a result, and there is nothing else to show.

    Raises
    ------
    dicom_node.errors.ComposeError
        If it cannot be composed.
    StoreUnavailable, ObjectMissing
        If the store does not give the header that patient and study are copied from.
    """
    told = _gather(app, lease)
    with tempfile.TemporaryDirectory(prefix="pulmonode-notice-") as scratch:
        (path,) = app.store.local_files([told.header_path], Path(scratch))
        header = dcmread(path, stop_before_pixels=True)
    names_of: dict[str, list[str]] = {}
    for profile in profiles:
        names_of.setdefault(profile.variant(ObjectKind.SR), []).append(profile.name)
    dresses = {profile.variant(ObjectKind.SR): profile for profile in profiles}
    reports = [
        replace(
            compose_not_analysed(
                header,
                told.content,
                key=told.key,
                evidence=told.evidence,
                created=created,
                predecessor=predecessor_of(earlier, told.key, profile, names_of[variant]),
                profile=profile,
            ),
            profiles=tuple(names_of[variant]),
        )
        for variant, profile in dresses.items()
    ]
    findings = not_eligible_to_dict(
        study_instance_uid=told.study_uid,
        series_instance_uid=told.evidence[0].series_instance_uid,
        reason="; ".join(series.why for series in told.content.not_analysed),
    )
    data = (json.dumps(findings, indent=2) + "\n").encode()
    kept = put_content(app.store, data, ".json")
    commit_notice(app, lease, kept, [keep_object(app, report) for report in reports])


def _gather(app: Application, lease: Lease) -> _Told:
    """All that the report says and refers to, as the database has it."""
    with app.database.read() as session:
        job = session.get_one(Job, lease.id)
        about = session.get_one(Notice, job.id).about
        rows = {item["series_uid"]: _instances(session, item["series_uid"]) for item in about}
        return _Told(
            study_uid=job.study_uid,
            key=job.series_uid,
            content=ReportContent(
                algorithm=to_algorithm_content(ALGORITHM_NAME, ALGORITHM_VERSION, {}),
                revision=job.revision,
                nodules=(),
                not_analysed=tuple(
                    _to_series(rows[item["series_uid"]], item["code"], item["why"])
                    for item in about
                ),
            ),
            evidence=tuple(_reference(row) for series in rows.values() for row in series),
            header_path=rows[about[0]["series_uid"]][0].path,
        )


def _instances(session: Session, series_uid: str) -> Sequence[Instance]:
    return session.scalars(
        select(Instance).where(Instance.series_uid == series_uid).order_by(Instance.path)
    ).all()


def _to_series(rows: Sequence[Instance], code: str, why: str) -> NotAnalysedSeries:
    number = InstanceHeader.from_json(rows[0].header).series_number
    return NotAnalysedSeries(number=number, images=len(rows), code=code, why=why)


def _reference(row: Instance) -> Reference:
    return Reference(
        series_instance_uid=row.series_uid,
        sop_class_uid=str(row.header["sop_class_uid"]),
        sop_instance_uid=row.sop_uid,
    )
