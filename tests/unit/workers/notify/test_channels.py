"""Webhook and e-mail against real servers, with TLS."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError

from tests.integration.service import free_port
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.mailbox import Mailbox
from tests.servers.webhook_receiver import Receiver
from workers.errors import NotificationFailed
from workers.monitoring_settings import EmailSettings, WebhookSettings
from workers.notify.channels import Mail, Webhook
from workers.notify.message import AlarmChange, AlarmMessage
from workers.notify.words import WORDS
from workers.state.alarms import CODES

SECRET = "sixteen bytes or more of it"  # noqa: S105 - of this test alone
MESSAGE = AlarmMessage(
    id="0123", site="PULMONODE", sent_at=1_700_000_000.5,
    raised=(AlarmChange(code="job_stopped", subject="17", raised_at=1_700_000_000.0),),
    cleared=(
        AlarmChange(
            code="destination_silent", subject="main", raised_at=1.0, cleared_at=1_700_000_000.0
        ),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def receiver(certificates: Certificates) -> Iterator[Receiver]:
    server = Receiver(certificates)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def webhook(tmp_path: Path, receiver: Receiver, certificates: Certificates) -> WebhookSettings:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return WebhookSettings(
        url=f"https://localhost:{receiver.server_port}/alarms",
        secret_file=tmp_path / "secret",
        ca_file=certificates.authority,
        timeout_s=5,
    )


def test_a_webhook_is_json_that_the_receiver_can_prove_to_be_ours(
    webhook: WebhookSettings, receiver: Receiver
) -> None:
    Webhook(webhook).send(MESSAGE)

    ((headers, body),) = receiver.taken
    stamp = headers["X-Pulmonode-Timestamp"]
    wanted = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-Pulmonode-Signature"] == f"sha256={wanted}"
    assert stamp == "1700000000"
    said = json.loads(body)
    assert (said["version"], said["id"], said["site"]) == (1, "0123", "PULMONODE")
    assert said["raised"][0]["code"] == "job_stopped"
    assert said["raised"][0]["subject"] == "17"
    assert said["cleared"][0]["cleared_at"] == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize("status", [302, 401, 500])
def test_any_other_answer_is_a_failure_that_is_tried_again(
    webhook: WebhookSettings, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    receiver.location = webhook.url if status == 302 else ""

    with pytest.raises(NotificationFailed, match=str(status)) as failed:
        Webhook(webhook).send(MESSAGE)
    assert failed.value.transient
    assert len(receiver.taken) == 1  # a redirect is not followed


def test_a_receiver_whom_nobody_vouches_for_is_told_nothing(
    webhook: WebhookSettings, receiver: Receiver
) -> None:
    with pytest.raises(NotificationFailed, match="SSLCertVerificationError"):
        Webhook(webhook.model_copy(update={"ca_file": None})).send(MESSAGE)
    assert not receiver.taken


def test_no_receiver_is_a_failure(webhook: WebhookSettings) -> None:
    with pytest.raises(NotificationFailed):
        Webhook(webhook.model_copy(update={"url": "https://localhost:9/"})).send(MESSAGE)


@pytest.mark.parametrize("secret", [None, "short"])
def test_a_secret_that_is_missing_or_short_is_said(
    tmp_path: Path, webhook: WebhookSettings, secret: str | None
) -> None:
    file = tmp_path / "other"
    if secret is not None:
        file.write_text(secret)

    with pytest.raises(NotificationFailed, match="secret_file"):
        Webhook(webhook.model_copy(update={"secret_file": file})).send(MESSAGE)


@pytest.mark.parametrize(
    "url", ["http://receiver.example/x", "ftp://a/b", "https://user:pw@receiver.example/"]
)
def test_an_address_in_clear_text_or_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings(url=url, secret_file=Path("x"))


def authenticate(
    _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
) -> AuthResult:
    right = (data.login, data.password) == (b"pulmonode", b"a password")
    return AuthResult(success=right, handled=right)


@pytest.fixture
def mail_server(certificates: Certificates) -> Iterator[tuple[Mailbox, int]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )
    controller.start()
    yield mailbox, controller.port
    controller.stop()


def mail_settings(folder: Path, certificates: Certificates, port: int) -> EmailSettings:
    (folder / "password").write_text("a password\n")
    return EmailSettings(
        host="localhost",
        port=port,
        ca_file=certificates.authority,
        user="pulmonode",
        password_file=folder / "password",
        sender="pulmonode@hospital.example",
        recipients=("it@hospital.example", "pacs@hospital.example"),
        timeout_s=5,
    )


def test_a_mail_goes_out_encrypted_and_signed_in(
    tmp_path: Path, certificates: Certificates, mail_server: tuple[Mailbox, int]
) -> None:
    mailbox, port = mail_server

    Mail(mail_settings(tmp_path, certificates, port)).send(MESSAGE)

    (envelope,) = mailbox.taken
    assert mailbox.secure == [True]
    assert envelope.rcpt_tos == ["it@hospital.example", "pacs@hospital.example"]
    text = bytes(envelope.content or b"").decode()
    assert "Subject: Pulmonode PULMONODE: alarms 1 raised, 1 over" in text
    assert "- job_stopped 17: a job failed or is quarantined" in text
    assert "- destination_silent main:" in text


def test_a_wrong_password_is_a_failure_in_a_few_words(
    tmp_path: Path, certificates: Certificates, mail_server: tuple[Mailbox, int]
) -> None:
    settings = mail_settings(tmp_path, certificates, mail_server[1])
    (tmp_path / "password").write_text("another")

    with pytest.raises(NotificationFailed, match="SMTPAuthenticationError 535"):
        Mail(settings).send(MESSAGE)


def test_mail_over_the_network_in_clear_text_is_refused() -> None:
    with pytest.raises(ValidationError, match="clear text"):
        EmailSettings(
            host="mail.example", security="none", sender="a@b.example", recipients=("c@d.example",)
        )


def test_every_alarm_has_words_of_its_own() -> None:
    assert set(WORDS) == set(CODES)
    assert len({what for what, _ in WORDS.values()}) == len(WORDS)
