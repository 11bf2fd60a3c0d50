"""Jobs, results, deliveries and instances as the tests of the use cases need them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import func, select

from dicom_node.compose.content import AlgorithmContent, ComposedObject, ReportContent
from dicom_node.read.header import InstanceHeader
from inference.findings import (
    CaseFindings,
    FleischnerAssessment,
    LungRadsAssessment,
    LungSummary,
    Quality,
)
from tests.integration.bad_series import save
from workers.application import Application
from workers.case import CaseResult
from workers.settings import Settings
from workers.state.alarms import open_alarms
from workers.state.database import Database
from workers.state.jobs import current_job, move, take_job
from workers.state.schema import (
    Delivery,
    DeliveryState,
    Event,
    Instance,
    Job,
    JobState,
    KeptAside,
    Result,
    ResultObject,
)
from workers.state.store import put_content
from workers.usecases.choose import most_urgent_due
from workers.usecases.commit import commit_result, keep_object
from workers.usecases.index import index_inbox
from workers.usecases.revise import identity_digest

NOW = 1_000_000.0
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"
ANALYSED = (JobState.COMPLETE, JobState.QUEUED, JobState.ANALYSING, JobState.ANALYSED)


def with_settings(settings: Settings, **changes: Any) -> Settings:
    """The settings with some changed, checked again."""
    return Settings(**{**settings.model_dump(), **changes})


def order_taken(app: Application, now: float = NOW) -> list[int]:
    """Job numbers in the order in which workers take them; all are taken."""
    order = []
    with app.database.write() as session:
        limit_s = app.settings.starvation_s
        while job_id := most_urgent_due(session, now=now, starvation_s=limit_s):
            take_job(session, job_id, "tester", now=now, lease_s=60)
            order.append(job_id)
    return order


def add_job(app: Application, state: JobState = JobState.QUEUED, **values: Any) -> int:
    row = {
        "study_uid": "1.2",
        "series_uid": "1.2.3",
        "modality": "CT",
        "warnings": [],
        "created_at": NOW,
        "last_instance_at": NOW,
        "state_since": NOW,
    }
    with app.database.write() as session:
        job = Job(state=state, **{**row, **values})
        session.add(job)
        session.flush()
        return job.id


def add_delivery(app: Application, job_id: int, destination: str = "main", **values: Any) -> int:
    with app.database.write() as session:
        delivery = Delivery(job_id=job_id, destination=destination, **{"created_at": NOW, **values})
        session.add(delivery)
        session.flush()
        return delivery.id


def add_result(app: Application, job_id: int, sop_uid: str = "1.2.9", data: bytes = b"sr") -> None:
    """Final bytes in the store, and the rows that name them."""
    findings = put_content(app.store, b'{"nodules": []}', ".json")
    path, sha256 = put_content(app.store, data, ".dcm")
    with app.database.write() as session:
        job = session.get_one(Job, job_id)
        rows = session.scalars(select(Instance).where(Instance.series_uid == job.series_uid)).all()
        session.add_all(
            [
                Result(
                    job_id=job_id,
                    fencing_token=1,
                    committed_at=NOW,
                    findings_path=findings[0],
                    findings_sha256=findings[1],
                    identity_sha256=identity_digest(headers_of(rows)),
                    nodule_count=0,
                ),
                ResultObject(
                    sop_uid=sop_uid,
                    job_id=job_id,
                    kind="sr",
                    profiles=["default"],
                    sop_class_uid=SR_CLASS,
                    series_uid="1.2.8",
                    path=path,
                    sha256=sha256,
                    size_bytes=len(data),
                ),
            ]
        )


def headers_of(rows: Iterable[Instance]) -> list[InstanceHeader]:
    return [InstanceHeader.from_json(row.header) for row in rows]


def receive(app: Application, folder: Path, *datasets: Dataset, cut: int = 0) -> None:
    """Accept data sets as the SCP does, and index them."""
    accept(app, folder, *datasets, cut=cut)
    index_inbox(app)


def accept(app: Application, folder: Path, *datasets: Dataset, cut: int = 0) -> None:
    for path, ds in zip(save(datasets, folder / "sent"), datasets, strict=True):
        data = path.read_bytes()
        app.spool.accept(str(ds.SOPInstanceUID), data[: len(data) - cut])


def set_state(app: Application, series_uid: str, *states: JobState, at: float = 1.0) -> int:
    """Lead a series' job along some arrows; returns its number."""
    with app.database.write() as session:
        job = current_job(session, series_uid)
        assert job is not None
        for state in states:
            move(session, job, state, "test", at=at, reason_code="test")
        return job.id


def analysed(
    app: Application,
    series_uid: str,
    *,
    sop_uid: str = "1.2.9",
    sending: DeliveryState = DeliveryState.QUEUED,
) -> int:
    """Give a series' job a result that is on its way to both destinations."""
    job_id = set_state(app, series_uid, *ANALYSED)
    add_result(app, job_id, sop_uid, data=sop_uid.encode())
    set_state(app, series_uid, JobState.DELIVERING)
    for name in ("main", "second"):
        add_delivery(app, job_id, name, state=sending)
    return job_id


def job_of(app: Application, series_uid: str) -> Job:
    """The newest revision's job."""
    with app.database.read() as session:
        job = current_job(session, series_uid)
        assert job is not None
        return job


def get_job(app: Application, job_id: int) -> Job:
    with app.database.read() as session:
        return session.get_one(Job, job_id)


def get_delivery(app: Application, delivery_id: int) -> Delivery:
    with app.database.read() as session:
        return session.get_one(Delivery, delivery_id)


def revisions(app: Application, series_uid: str) -> list[tuple[int, str]]:
    with app.database.read() as session:
        jobs = session.scalars(
            select(Job).where(Job.series_uid == series_uid).order_by(Job.revision)
        )
        return [(job.revision, job.state) for job in jobs]


def delivery_states(app: Application, job_id: int) -> set[str]:
    with app.database.read() as session:
        return set(session.scalars(select(Delivery.state).where(Delivery.job_id == job_id)))


def alarms(app: Application) -> list[tuple[str, str]]:
    with app.database.read() as session:
        return [(item.code, item.subject) for item in open_alarms(session)]


def aside(app: Application) -> list[tuple[str, str]]:
    """(File, reason) of what is kept aside, as the database says."""
    with app.database.read() as session:
        return [(row.name, row.reason_code) for row in session.scalars(select(KeptAside))]


def count(app: Application, table: type[Any]) -> int:
    with app.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def history(app: Application, job_id: int) -> list[str]:
    with app.database.read() as session:
        lines = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.id))
        return [line.message for line in lines]


def lose_database(app: Application) -> None:
    """As after a crash of its disk: an empty one of the right schema stands in its place."""
    app.database.close()
    for path in app.settings.data_dir.glob("state.sqlite*"):
        path.unlink()
    Database(app.settings.database_url).migrate()


def back_up(app: Application, target: Path) -> None:
    """Copy the database, with all that its journal holds."""
    app.database.close()
    shutil.copy(app.settings.data_dir / "state.sqlite", target)


def restore(app: Application, backup: Path) -> None:
    """Put a copy in the database's place: everything since is forgotten."""
    app.database.close()
    for path in app.settings.data_dir.glob("state.sqlite*"):
        path.unlink()
    shutil.copy(backup, app.settings.data_dir / "state.sqlite")


def change(app: Application, table: type[Any], key: Any, **values: Any) -> None:
    with app.database.write() as session:
        row = session.get_one(table, key)
        for name, value in values.items():
            setattr(row, name, value)


def empty_result(revision: int = 1) -> CaseResult:
    """An analysis that found nothing."""
    rads = LungRadsAssessment(applicable="unknown", category=None, why="test")
    findings = CaseFindings(
        algorithm_name="test",
        algorithm_version="0",
        quality=Quality(slice_spacing_mm=1.0, coverage="full", warnings=("found nothing",)),
        lungs=LungSummary(left_ml=None, right_ml=None, total_ml=1.0),
        candidates=(),
        nodules=(),
        exam_lung_rads=rads,
        exam_fleischner=FleischnerAssessment(applicable="unknown", recommendation=None, why="test"),
    )
    algorithm = AlgorithmContent(
        name="test", version="0", manufacturer="test", model_name="test", device_uid="2.25.1"
    )
    content = ReportContent(algorithm=algorithm, revision=revision, nodules=())
    return CaseResult(findings=findings, findings_json={}, content=content, objects=())


def commit(app: Application, series_uid: str, text: str = "report") -> int:
    """Let the series' newest job be analysed, with an empty result; its number."""
    job_id = set_state(app, series_uid, JobState.COMPLETE, JobState.QUEUED)
    with app.database.write() as session:
        lease = take_job(session, job_id, "tester", now=app.now(), lease_s=60)
    findings = put_content(app.store, b"{}", ".json")
    result = empty_result(get_job(app, job_id).revision)
    data = f"{text} of job {job_id}".encode()
    report = ComposedObject(
        kind="sr", sop_class_uid=SR_CLASS, sop_instance_uid=f"1.2.9.{job_id}",
        series_instance_uid="1.2.8", data=data,
    )  # fmt: skip
    commit_result(app, lease, result, findings, [keep_object(app, report)])
    return job_id
