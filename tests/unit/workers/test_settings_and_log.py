from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from tests.conftest import REPOSITORY
from workers.log import ALLOWED, keep_allowed
from workers.monitoring_settings import AuditSettings, EmailSettings, WebhookSettings
from workers.peer_settings import DestinationSettings, Hl7DestinationSettings
from workers.settings import Settings


def test_every_setting_is_documented_and_nothing_else() -> None:
    text = (REPOSITORY / "docs/configuration.md").read_text()
    documented = {
        line.split("`")[1] for line in text.splitlines() if line.startswith("| `PULMONODE_")
    }
    wanted = {f"PULMONODE_{name.upper()}" for name in Settings.model_fields}

    assert documented == wanted | {"PULMONODE_CONFIG"}


def test_every_field_of_a_destination_is_documented() -> None:
    text = (REPOSITORY / "docs/configuration.md").read_text()

    one, other = text[text.index("## Destinations") :].split("## HL7 destinations")

    for name in DestinationSettings.model_fields:
        assert f"| `{name}` |" in one
    for name in Hl7DestinationSettings.model_fields:
        assert f"| `{name}` |" in other or name in {"name", "tls", "tls_check_host", "mode"}


@pytest.mark.parametrize(
    ("model", "document"),
    [
        (WebhookSettings, "docs/alarms.md"),
        (EmailSettings, "docs/alarms.md"),
        (AuditSettings, "docs/dicom_audit.md"),
    ],
)
def test_every_field_of_what_tells_others_is_documented(
    model: type[BaseModel], document: str
) -> None:
    text = (REPOSITORY / document).read_text()

    for name in model.model_fields:
        assert f"| `{name}` |" in text


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pulmonode.yaml"
    config.write_text("ae_title: FROMFILE\ndicom_port: 104\ncalling_ae_titles: [A, B]\n")
    monkeypatch.setenv("PULMONODE_CONFIG", str(config))
    monkeypatch.setenv("PULMONODE_DICOM_PORT", "11113")

    settings = Settings()

    assert (settings.ae_title, settings.dicom_port) == ("FROMFILE", 11113)
    assert settings.calling_ae_titles == ("A", "B")


@pytest.mark.parametrize(
    "text", ["unknown_key: 1\n", "dicom_port: 70000\n", "ae_title: SEVENTEEN_LETTERS\n"]
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    config = tmp_path / "pulmonode.yaml"
    config.write_text(text)
    monkeypatch.setenv("PULMONODE_CONFIG", str(config))

    with pytest.raises(ValidationError):
        Settings()


def test_a_wrong_setting_is_named_by_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULMONODE_DICOM_PORT", "many")
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.main", "jobs", "list"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "PULMONODE_DICOM_PORT" in done.stderr


def test_only_allowed_keys_reach_the_log() -> None:
    line = keep_allowed(
        None, "info", {"event": "job_analysed", "job_id": 1, "patient_name": "Doe^Jane"}
    )

    assert line == {"event": "job_analysed", "job_id": 1, "dropped_keys": 1}
    assert not {"patient_name", "patient_id", "birth_date"} & ALLOWED


def test_the_doctor_says_what_is_wrong_with_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULMONODE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PULMONODE_DISK_RESERVE_BYTES", "0")
    monkeypatch.setenv(
        "PULMONODE_DESTINATIONS",
        json.dumps([{"name": "away", "ae_title": "AWAY", "host": "127.0.0.1", "port": 9}]),
    )
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.main", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    checks = {item["what"]: item for item in json.loads(done.stdout)}

    assert done.returncode == 1
    assert checks["settings"]["ok"] is False  # nobody may call
    assert checks["destination away"]["ok"] is False
    assert checks["disk"]["ok"] is True
