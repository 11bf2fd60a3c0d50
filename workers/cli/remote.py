"""A site that is reached through its console's HTTP API."""

from __future__ import annotations

import ipaddress
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Self

import httpx

from workers.access_errors import ServerRefused, ServerUnavailable
from workers.console_settings import LOOPBACK_NAMES
from workers.state.jobs import job_number
from workers.usecases.act import Done, JobAction
from workers.usecases.list_queue import QueueFilter

TIMEOUT_S = 60.0
API = "api/v1/"
HL7_MEDIA_TYPE = "x-application/hl7-v2+er7"
PAGE = 1000
"""Most jobs that the API gives at once."""
SAID_BY_REMEDY = frozenset(
    {
        "not_signed_in",
        "role_too_low",
        "access_refused",
        "request_refused",
        "unknown_host",
        "context_refused",
    }
)
"""Problems whose remedy belongs into the line that a command prints."""


class RemoteSite:
    """The site behind a console; see `workers.cli.site.Site`.

    Parameters
    ----------
    client : httpx.Client
        With the console's address and the token.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @classmethod
    def of(cls, server: str, token_file: Path | None) -> Self:
        """The site at a URL.

        Raises
        ------
        ServerRefused
            If the URL or the token file is not as it must be.
        """
        url = _checked(server)
        headers = {"Authorization": f"Bearer {_token(token_file)}"}
        return cls(httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S))

    def __enter__(self) -> Self:
        """For the length of a command."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the connection go."""
        self._client.close()

    def jobs(self, wanted: QueueFilter, limit: int) -> dict[str, Any]:
        """See `Site`."""
        query = {
            "state": [str(state) for state in wanted.states],
            "destination": wanted.destination,
            "reason": wanted.code,
            "calling_ae": wanted.calling_ae,
            "modality": wanted.modality,
            "text": wanted.text,
            "since": wanted.since,
            "until": wanted.until,
        }
        query = {name: value for name, value in query.items() if value not in (None, "", [])}
        items: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        cursor = None
        while len(items) < limit:
            more = {"limit": min(PAGE, limit - len(items))} | ({"cursor": cursor} if cursor else {})
            page = self._ask("GET", "jobs", params=query | more)
            items += page["items"]
            counts, cursor = page["counts"], page["next"]
            if cursor is None:
                break
        return {"items": items, "counts": counts}

    def dead_letters(self) -> list[dict[str, Any]]:
        """See `Site`."""
        rows: list[dict[str, Any]] = self._ask("GET", "dead-letters")
        return rows

    def job(self, wanted: str) -> dict[str, Any]:
        """See `Site`."""
        job: dict[str, Any] = self._ask("GET", f"jobs/{self._number(wanted)}")
        return job

    def act(self, action: JobAction, wanted: str) -> Done:
        """See `Site`."""
        return Done(**self._ask("POST", f"jobs/{self._number(wanted)}/{action}"))

    def retry_dead_letters(self, code: str | None, destination: str | None) -> dict[int, str]:
        """See `Site`."""
        outcomes = self._ask(
            "POST", "dead-letters/retry", json={"code": code, "destination": destination}
        )
        return {int(job): outcome for job, outcome in outcomes.items()}

    def export(self, wanted: str, out: Path) -> dict[str, Any]:
        """See `Site`."""
        number = self._number(wanted)
        with tempfile.TemporaryFile() as packed:
            with (
                self._translated(),
                self._client.stream("GET", f"{API}jobs/{number}/export.zip") as response,
            ):
                if response.is_error:
                    response.read()
                self._check(response)
                for chunk in response.iter_bytes():
                    packed.write(chunk)
            out.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(out)
        return self.job(str(number))

    def fhir(self, wanted: str) -> dict[str, Any]:
        """See `Site`."""
        bundle: dict[str, Any] = self._ask("GET", f"jobs/{self._number(wanted)}/fhir")
        return bundle

    def take_context(self, data: bytes, name: str) -> list[dict[str, Any]]:
        """See `Site`; what the console refuses, it refuses of the body."""
        del name
        kind = "application/fhir+json" if data.lstrip()[:1] == b"{" else HL7_MEDIA_TYPE
        answers: list[dict[str, Any]] = self._ask(
            "POST", "context", content=data, headers={"Content-Type": kind}
        )
        return answers

    def statistics(self) -> list[dict[str, Any]]:
        """See `Site`."""
        rows: list[dict[str, Any]] = self._ask("GET", "statistics")
        return rows

    def queues(self) -> dict[str, Any]:
        """See `Site`."""
        told: dict[str, Any] = self._ask("GET", "queues")
        return told

    def set_pause(self, queue: str, *, paused: bool) -> None:
        """See `Site`."""
        self._ask("POST", f"queues/{queue}/{'pause' if paused else 'resume'}")

    def alarms(self) -> list[dict[str, Any]]:
        """See `Site`."""
        rows: list[dict[str, Any]] = self._ask("GET", "alarms")
        return rows

    def doctor(self) -> list[dict[str, Any]]:
        """What the doctor finds at the console's machine."""
        rows: list[dict[str, Any]] = self._ask("GET", "doctor")
        return rows

    def _number(self, wanted: str) -> int:
        """The job's number: a UID goes in the body, never into an address."""
        typed = job_number(wanted)
        if typed is not None:
            return typed
        number: int = self._ask("POST", "jobs/find", json={"wanted": wanted})["job"]
        return number

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        with self._translated():
            response = self._client.request(method, API + path, **arguments)
            self._check(response)
            return response.json() if response.content else None  # 204

    def _translated(self) -> _Translated:
        return _Translated(str(self._client.base_url))

    @staticmethod
    def _check(response: httpx.Response) -> None:
        if response.is_success:
            return
        problem = response.json()
        detail, remedy = problem["detail"] or problem["title"], problem["remedy"]
        raise ServerRefused(f"{detail}: {remedy}" if problem["code"] in SAID_BY_REMEDY else detail)


class _Translated:
    """Turns what httpx, JSON and ZIP raise into errors of ours."""

    def __init__(self, server: str) -> None:
        self._server = server

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, httpx.HTTPError):
            raise ServerUnavailable(self._server, str(error) or type(error).__name__) from error
        if isinstance(error, KeyError | TypeError | ValueError):
            raise ServerUnavailable(self._server, "that is no console of ours") from error


def _checked(server: str) -> str:
    url = httpx.URL(server if "://" in server else f"https://{server}")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ServerRefused(f"{server} is no URL of a console, such as https://pulmonode.example")
    if url.scheme == "http" and not _is_this_machine(url.host):
        raise ServerRefused(
            f"{server}: the token would go in clear text; use https:// (SSL_CERT_FILE names the "
            "authority of your own certificates)"
        )
    return f"{str(url).rstrip('/')}/"


def _is_this_machine(host: str) -> bool:
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: Path | None) -> str:
    if file is None:
        raise ServerRefused(
            "no token: name a file with one by --token-file or PULMONODE_TOKEN_FILE "
            "('pulmonode tokens add' makes one)"
        )
    token = file.read_text().strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ServerRefused(f"{file} holds no token")
    return token
