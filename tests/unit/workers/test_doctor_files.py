"""Certificates that end, and files that others can read: what the doctor says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tests.servers.authority import Authority
from tests.unit.workers.rows import with_settings
from workers.application import open_application
from workers.audit_trail.spool import AuditSpool
from workers.certificates import NamedFile, counts_until, named_files, read_certificates
from workers.context.inbox import MessageInbox
from workers.doctor_files import certificates, secrets
from workers.doctor_host import Check
from workers.metrics.node import _certificates
from workers.settings import Settings
from workers.supervisor import hold_folder

NEITHER = {
    "data_dir", "profiles_dir", "font_file", "rules_file", "monai_bundle", "weights_dir",
    "bank_dir", "context_items_file",
}  # fmt: skip


def path_settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting that is a file or folder, nested ones too."""
    for name, field in model.model_fields.items():
        parts = {field.annotation, *get_args(field.annotation)}
        if Path in parts:
            yield f"{prefix}{name}"
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from path_settings(part, f"{prefix}{name}.")


def test_every_file_in_the_settings_is_a_certificate_a_secret_or_known_to_be_neither() -> None:
    unclear = []
    for setting in path_settings(Settings):
        file = NamedFile(setting=setting, path=Path())
        kinds = [file.is_certificate, file.is_authorities, file.is_secret, setting in NEITHER]
        if sum(kinds) != 1:
            unclear.append(setting)

    assert unclear == []
    assert len(list(path_settings(Settings))) > 15


@pytest.fixture
def hospital(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "keys", "hospital")


def lasting(hospital: Authority, **days: float) -> dict[str, Path]:
    pair = hospital.issue("ours", lasts=timedelta(**days))
    pair.key.chmod(0o600)
    return {"tls_certificate_file": pair.certificate, "tls_key_file": pair.key}


def found(checks: Iterator[Check], setting: str) -> Check:
    (check,) = [item for item in checks if item.what == f"certificate {setting}"]
    return check


@pytest.mark.parametrize(
    ("days", "ok", "said"),
    [(400.5, True, ": 400 days left"), (20.5, None, "ours ends in 20 days"), (-2, False, "ended")],
)
def test_a_certificate_says_how_long_it_counts(
    settings: Settings, hospital: Authority, days: float, ok: bool | None, said: str
) -> None:
    named = with_settings(settings, **lasting(hospital, days=days))

    check = found(certificates(named), "tls_certificate_file")

    assert check.ok is ok
    assert said in check.found


def test_authorities_fail_when_none_of_them_counts_any_more(
    settings: Settings, hospital: Authority, tmp_path: Path
) -> None:
    old = Authority(tmp_path / "old", "old hospital", ended=True)
    both = tmp_path / "both.pem"
    both.write_bytes(old.file.read_bytes() + hospital.file.read_bytes())

    only_old = found(certificates(with_settings(settings, tls_ca_file=old.file)), "tls_ca_file")
    with_new = found(certificates(with_settings(settings, tls_ca_file=both)), "tls_ca_file")

    assert only_old.ok is False
    assert with_new.ok is None
    assert "old hospital ended" in with_new.found


@pytest.mark.parametrize("content", [None, "", "rubbish", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_certificate_that_cannot_be_read_is_said(
    settings: Settings, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "audit.pem"
    if content is not None:
        path.write_text(content)
    audit = {"host": "repository", "ca_file": path}

    check = found(certificates(with_settings(settings, dicom_audit=audit)), "dicom_audit.ca_file")

    assert check.ok is False
    assert str(path) in check.found


def test_the_node_tells_prometheus_when_certificates_end(
    settings: Settings, hospital: Authority
) -> None:
    named = with_settings(
        settings, **lasting(hospital, days=3), tls_ca_file=hospital.file,
        dicom_audit={"host": "repository", "ca_file": "/nowhere/ca.pem"},
    )  # fmt: skip

    samples = {item.labels["setting"]: item.value for item in _certificates(named).samples}

    expected = {
        file.setting: counts_until(file, read_certificates(file.path))
        for file in named_files(named)
        if file.setting in {"tls_certificate_file", "tls_ca_file"}
    }
    assert samples == expected
    assert samples["tls_certificate_file"] < samples["tls_ca_file"]


@pytest.mark.parametrize(
    ("mode", "oks", "said"),
    [
        (0o600, [True], "nobody else"),
        (0o640, [None], "tls_key_file"),
        (0o644, [False], "tls_key_file"),
    ],
)
def test_a_key_that_others_can_read_is_said(
    settings: Settings, hospital: Authority, mode: int, oks: list[Any], said: str
) -> None:
    named = with_settings(settings, **lasting(hospital, days=99))
    named.data_dir.mkdir(exist_ok=True)
    named.data_dir.chmod(0o700)
    (path,) = [file.path for file in named_files(named) if file.is_secret]
    path.chmod(mode)

    checks = list(secrets(named))

    assert [check.ok for check in checks] == oks
    assert said in checks[0].found


def test_a_data_folder_or_a_password_that_anybody_can_read_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pulmonode.yaml"
    config.write_text("state_url: postgresql+psycopg://pulmonode:secret@db/pulmonode\n")
    config.chmod(0o644)
    monkeypatch.setenv("PULMONODE_CONFIG", str(config))
    settings.data_dir.mkdir(exist_ok=True)
    settings.data_dir.chmod(0o755)
    url = "postgresql+psycopg://pulmonode:secret@db/pulmonode"

    (check,) = secrets(with_settings(settings, state_url=url))
    (without,) = secrets(settings)

    assert (check.ok, without.ok) == (False, False)
    assert str(config) in check.found
    assert str(config) not in without.found
    assert str(settings.data_dir) in without.found
    assert "secret@" not in check.found


@pytest.mark.parametrize(
    "make",
    [
        hold_folder,
        lambda folder: open_application(Settings(data_dir=folder), migrate=True).database.close(),
        lambda folder: AuditSpool(folder).make_folder(),
        lambda folder: MessageInbox(folder / "context"),
    ],
    ids=["up", "node", "audit", "hl7"],
)
def test_whoever_makes_the_data_folder_makes_it_for_our_user_alone(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    folder = tmp_path / "var" / "data"

    make(folder)

    assert folder.stat().st_mode & 0o777 == 0o700
