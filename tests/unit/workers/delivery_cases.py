"""A result of real bytes that waits for its delivery to a recording PACS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.mini_pacs import MiniPacs
from dicom_node.read.header import read_header
from tests.migrated import migrated_application
from workers.application import Application
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.jobs import move
from workers.state.schema import (
    Delivery,
    Instance,
    Job,
    JobState,
    Result,
    ResultObject,
)
from workers.state.store import put_content

NOW = 1_000_000.0


def ct(name: str = "Name^One", index: int = 0) -> Dataset:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    identity = CtIdentity(key="delivery", patient_name=name)
    return slice_dataset(np.zeros((8, 8), dtype=np.int16), index, 1, affine, identity)


def add_second_object(app: Application, folder: Path) -> None:
    """Let the result have one more object, which is sent after the first."""
    file = folder / "second.dcm"
    ds = ct(index=1)
    ds.save_as(file, enforce_file_format=True)
    path, sha256 = put_content(app.store, file.read_bytes(), ".dcm")
    with app.database.write() as session:
        first = session.query(ResultObject).one()
        session.add(
            ResultObject(
                sop_uid=str(ds.SOPInstanceUID),
                job_id=first.job_id,
                kind="sr_z",
                profiles=["default"],
                sop_class_uid=first.sop_class_uid,
                series_uid=first.series_uid,
                path=path,
                sha256=sha256,
                size_bytes=1,
            )
        )


def result_to_deliver(
    tmp_path: Path, pacs: MiniPacs, name: str = "Name^One", **overrides: object
) -> tuple[Application, int]:
    """An application with one analysed job whose single object waits for delivery."""
    peer = pacs.peer
    settings = Settings(
        data_dir=tmp_path / "data",
        calling_ae_titles=("PACS",),
        disk_reserve_bytes=0,
        max_delivery_attempts=2,
        retry_base_s=1,
        destinations=(
            DestinationSettings.model_validate(
                {
                    "name": "main",
                    "ae_title": peer.ae_title,
                    "host": peer.host,
                    "port": peer.port,
                    "connect_timeout_s": 2,
                    **overrides,
                }
            ),
        ),
    )
    app = migrated_application(settings)
    received = tmp_path / "received.dcm"
    ct().save_as(received, enforce_file_format=True)
    result = tmp_path / "result.dcm"
    ct(name).save_as(result, enforce_file_format=True)
    header = read_header(received)
    path, sha256 = put_content(app.store, result.read_bytes(), ".dcm")
    with app.database.write() as session:
        job = Job(
            study_uid=header.study_instance_uid,
            series_uid=header.series_instance_uid,
            state=JobState.ANALYSED,
            warnings=[],
            created_at=NOW,
            last_instance_at=NOW,
            state_since=NOW,
        )
        session.add(job)
        session.flush()
        session.add(
            Instance(
                sop_uid=header.sop_instance_uid,
                study_uid=header.study_instance_uid,
                series_uid=header.series_instance_uid,
                path="x",
                size_bytes=1,
                header_sha256="x",
                pixels_sha256="x",
                received_at=NOW,
                header=header.to_json(),
            )
        )
        session.add(
            ResultObject(
                sop_uid=header.sop_instance_uid,
                job_id=job.id,
                kind="sr",
                profiles=["default"],
                sop_class_uid=header.sop_class_uid,
                series_uid=header.series_instance_uid,
                path=path,
                sha256=sha256,
                size_bytes=1,
            )
        )
        session.add(
            Result(
                job_id=job.id,
                fencing_token=1,
                committed_at=NOW,
                findings_path="x",
                findings_sha256="x",
                identity_sha256="x",
                nodule_count=1,
            )
        )
        move(session, job, JobState.DELIVERING, "deliveries queued", at=NOW)
        delivery = Delivery(job_id=job.id, destination="main", created_at=NOW)
        session.add(delivery)
        session.flush()
        return app, delivery.id


def states(app: Application, delivery_id: int) -> tuple[str, str]:
    with app.database.read() as session:
        delivery = session.get_one(Delivery, delivery_id)
        return delivery.state, session.get_one(Job, delivery.job_id).state


def make_due(app: Application, delivery_id: int) -> None:
    with app.database.write() as session:
        session.get_one(Delivery, delivery_id).next_attempt_at = 0.0
