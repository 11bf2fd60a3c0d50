"""A result of real bytes that waits for its message to a RIS."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dicom_node.deliver.peer import Peer
from tests.unit.workers.delivery_cases import ct, result_to_deliver
from tests.unit.workers.outbound.results import add_sentences, findings, nodule
from workers.application import Application
from workers.peer_settings import Hl7DestinationSettings
from workers.state.schema import Result, ResultObject
from workers.state.store import put_content


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
    app: Application, name: str = "Name^One", patient_id: str | None = None
) -> tuple[str, str]:
    ds = ct(name)
    ds.PatientID = patient_id or ds.PatientID
    add_sentences(ds)
    written = io.BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return put_content(app.store, written.getvalue(), ".dcm")
