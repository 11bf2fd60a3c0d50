"""The two ways out: a signed webhook over HTTPS, and e-mail over SMTP."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any, Protocol

from workers.errors import NotificationFailed
from workers.monitoring_settings import EmailSettings, WebhookSettings
from workers.notify.message import AlarmMessage
from workers.settings import Settings

SECRET_BYTES = 16
"""Least length of a secret that signs."""


class Channel(Protocol):
    """A way on which messages leave."""

    @property
    def name(self) -> str:
        """In the log, in figures and in the ledger of what was told."""

    def send(self, message: AlarmMessage) -> None:
        """Send a message; raises `NotificationFailed`."""


def channels_of(settings: Settings) -> list[Channel]:
    """The ways that are set up."""
    found: list[Channel] = []
    if settings.webhook is not None:
        found.append(Webhook(settings.webhook))
    if settings.email is not None:
        found.append(Mail(settings.email))
    return found


class Webhook:
    """POST of a JSON body with its HMAC-SHA256 (RFC 2104)."""

    name = "webhook"

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    def send(self, message: AlarmMessage) -> None:
        """Send a message.

        Raises
        ------
        NotificationFailed
            If the answer is none of 200 to 299, or there is none.
        """
        settings = self._settings
        body = json.dumps(message.to_json()).encode()
        stamp = str(int(message.sent_at))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pulmonode",
            "X-Pulmonode-Id": message.id,
            "X-Pulmonode-Timestamp": stamp,
            "X-Pulmonode-Signature": f"sha256={sign(read_secret(settings), stamp, body)}",
        }
        request = urllib.request.Request(  # noqa: S310 - http and https alone, by the settings
            settings.url, data=body, headers=headers, method="POST"
        )
        try:
            context = _context(settings.ca_file)
            opener = urllib.request.build_opener(
                urllib.request.HTTPSHandler(context=context), _NoRedirect
            )
            with opener.open(request, timeout=settings.timeout_s) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            raise NotificationFailed(self.name, f"answered {error.code}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotificationFailed(self.name, _why(error)) from error


class Mail:
    """One e-mail to all recipients."""

    name = "email"

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings

    def send(self, message: AlarmMessage) -> None:
        """Send a message.

        Raises
        ------
        NotificationFailed
            If the server does not take it, or there is none.
        """
        settings = self._settings
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = settings.sender
        mail["To"] = ", ".join(settings.recipients)
        mail["Date"] = formatdate(message.sent_at)
        mail["Message-ID"] = f"<{message.id}@pulmonode.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.to_text())
        try:
            with self._connect() as smtp:
                if settings.user is not None and settings.password_file is not None:
                    smtp.login(settings.user, settings.password_file.read_text().strip())
                smtp.send_message(mail)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise NotificationFailed(self.name, _why(error)) from error

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        if settings.security == "tls":
            return smtplib.SMTP_SSL(
                settings.host,
                settings.port,
                timeout=settings.timeout_s,
                context=_context(settings.ca_file),
            )
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_s)
        try:
            if settings.security == "starttls":
                smtp.starttls(context=_context(settings.ca_file))  # raises where it is not offered
        except BaseException:
            smtp.close()
            raise
        return smtp


def sign(secret: bytes, stamp: str, body: bytes) -> str:
    """HMAC-SHA256 of time stamp, a full stop and body, in hexadecimal digits."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def read_secret(settings: WebhookSettings) -> bytes:
    """The secret that signs, without white space around it.

    Raises
    ------
    NotificationFailed
        If the file cannot be read or is too short.
    """
    try:
        secret = settings.secret_file.read_bytes().strip()
    except OSError as error:
        raise NotificationFailed("webhook", f"secret_file: {error.strerror}") from error
    if len(secret) < SECRET_BYTES:
        raise NotificationFailed("webhook", f"secret_file holds under {SECRET_BYTES} bytes")
    return secret


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: BaseException) -> str:
    """An error in a few words; what a server said in its own is left out."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, urllib.error.URLError):
        return f"{type(error.reason).__name__ if error.reason else 'no answer'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed message goes where the settings say and nowhere else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follow none."""
        del req, fp, code, msg, headers, newurl
