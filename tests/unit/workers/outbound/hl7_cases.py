"""A result of real bytes that waits for its message to a RIS."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hl7

from dicom_node.deliver.peer import Peer
from tests.unit.workers.delivery_cases import ct, result_to_deliver
from tests.unit.workers.outbound.results import add_sentences, findings, nodule
from workers.application import Application
from workers.peer_settings import Hl7DestinationSettings
from workers.state.schema import Delivery, Job, JobState, Result, ResultObject
from workers.state.store import put_content
from workers.usecases.begin_deliveries import begin_deliveries
from workers.usecases.revise import supersede

NOW = 1_000_100.0


def destination(port: int, **others: Any) -> Hl7DestinationSettings:
    return Hl7DestinationSettings.model_validate(
        {
            "kind": "hl7",
            "name": "main",
            "host": "127.0.0.1",
            "port": port,
            "connect_timeout_s": 2,
            "response_timeout_s": 2,
            "receiving_application": "RIS",
            **others,
        }
    )


def to_ris(
    folder: Path, port: int, name: str = "Name^One", **others: Any
) -> tuple[Application, int]:
    """A result with sentences and two nodules that waits for its message."""
    nobody = SimpleNamespace(peer=Peer(ae_title="X", host="127.0.0.1", port=1))
    app, delivery_id = result_to_deliver(folder, nobody, name)  # type: ignore[arg-type]
    settings = app.settings.model_copy(update={"destinations": (destination(port, **others),)})
    app = replace(app, settings=settings)
    with app.database.write() as session:
        result = session.query(Result).one()
        result.findings_path, result.findings_sha256 = kept_findings(app, nodule(1), nodule(2))
        row = session.query(ResultObject).one()
        row.path, row.sha256 = kept_report(app, name)
    return app, delivery_id


def kept_findings(app: Application, *nodules: dict[str, Any]) -> tuple[str, str]:
    return put_content(app.store, json.dumps(findings(*nodules)).encode(), ".json")


def kept_report(
    app: Application,
    name: str = "Name^One",
    patient_id: str | None = None,
    uid: str | None = None,
) -> tuple[str, str]:
    ds = ct(name)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid or ds.SOPInstanceUID
    ds.PatientID = patient_id or ds.PatientID
    add_sentences(ds)
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return put_content(app.store, written.getvalue(), ".dcm")


def revise(app: Application, *nodules: dict[str, Any]) -> int:
    """A revision of the newest result, with other nodules; its delivery's number."""
    with app.database.write() as session:
        job = session.query(Job).order_by(Job.id.desc()).first()
        assert job is not None
        revision = Job(
            study_uid=job.study_uid, series_uid=job.series_uid, revision=job.revision + 1,
            state=JobState.ANALYSED, warnings=[], created_at=NOW, last_instance_at=NOW,
            state_since=NOW,
        )  # fmt: skip
        session.add(revision)
        session.flush()
        path, sha256 = kept_findings(app, *nodules)
        session.add(
            Result(
                job_id=revision.id, fencing_token=1, committed_at=NOW, findings_path=path,
                findings_sha256=sha256, identity_sha256="x", nodule_count=len(nodules),
            )
        )  # fmt: skip
        row = session.query(ResultObject).filter_by(job_id=job.id).one()
        uid = f"1.2.3.9.{revision.id}"
        report_path, report_sha256 = kept_report(app, uid=uid)
        session.add(
            ResultObject(
                sop_uid=uid, job_id=revision.id, kind="sr",
                profiles=["default"], sop_class_uid=row.sop_class_uid, series_uid=row.series_uid,
                path=report_path, sha256=report_sha256, size_bytes=1,
            )
        )  # fmt: skip
        supersede(session, job, revision, NOW)
        begin_deliveries(session, app.settings, revision, NOW, message="deliveries queued")
        return session.query(Delivery).filter_by(job_id=revision.id).one().id


def taken_back(message: hl7.Message) -> set[str]:
    """Nodules (OBX-4) whose values a message deletes."""
    return {str(row[4]) for row in message.segments("OBX") if str(row[11]) == "D"}
