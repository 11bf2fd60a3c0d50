"""A planted patient is looked for in everything that a running service writes and sends."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from aiosmtpd.controller import Controller
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import CommitmentReply, MiniPacs
from tests.integration.service import Service, free_port, wait_for
from tests.operations.silence import fall_silent
from tests.servers.certificates import make_certificates
from tests.servers.mailbox import Mailbox
from tests.servers.webhook_receiver import Receiver
from workers.application import open_application
from workers.console.access import COOKIE
from workers.phantom import write_phantom
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.state.schema import JobState
from workers.usecases.accounts import add_user
from workers.usecases.audit import at_the_command_line
from workers.usecases.sign_in import sign_in_by_link

NAME, PATIENT_ID, BIRTH_DATE = "Plantedname^Mustnotleave", "PLANTEDID", "19570314"
PLANTED = re.compile(rb"planted|mustnotleave|19570314|1957-03-14|14\.03\.1957", re.IGNORECASE)
PASSWORD = "correct horse battery"  # noqa: S105 - of a user of this test
PAGES_AT_MOST = 60


def plant(folder: Path) -> list[Path]:
    """A series that is analysed, of the planted patient."""
    write_phantom(
        folder, seed=3, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )  # fmt: skip
    paths = sorted(folder.rglob("*.dcm"))
    for path in paths:
        ds = dcmread(path)
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, PATIENT_ID, BIRTH_DATE
        ds.save_as(path)
    return paths


def spoil(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The same patient in files that make readers complain about values, and one cut short."""
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    spoiled = []
    for number, path in enumerate(paths[:6]):
        data = path.read_bytes()
        ds = dcmread(path)
        old = [str(ds[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID")]
        old.append(str(ds.SOPInstanceUID))
        for before, after in zip(old, (study, series, generate_uid()), strict=True):
            data = data.replace(
                before.encode(), after[: len(before)].ljust(len(before), "1").encode()
            )
        data = data.replace(BIRTH_DATE.encode(), b"PLANTED!")  # no date
        data = data.replace(b"060Y", b"4711")  # no age
        target = folder / f"{number}.dcm"
        target.write_bytes(data if number else data[:-500])
        spoiled.append(target)
    return spoiled


class Datagrams:
    """An audit record repository that takes datagrams."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self.socket.recv(65536))


@pytest.fixture
def datagrams() -> Iterator[Datagrams]:
    repository = Datagrams()
    yield repository
    repository.socket.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    (tmp_path / "certificates").mkdir()
    server = Receiver(make_certificates(tmp_path / "certificates"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture
def denier(tmp_path: Path) -> Iterator[MiniPacs]:
    pacs = MiniPacs(
        folder=tmp_path / "denier", ae_title="DENIER", port=free_port(),
        commitment_reply=CommitmentReply.FAIL, store_statuses=[0xA700],
    )  # fmt: skip
    pacs.start()
    yield pacs
    pacs.stop()


def look_around(service: Service, port: int) -> tuple[list[str], bytes]:
    """Every address that the console's pages hold, as an administrator walks through them; and
    the audit as the HTTP API exports it."""
    app = open_application(
        Settings(data_dir=service.data, calling_ae_titles=("TESTER",), disk_reserve_bytes=0)
    )
    link = add_user(app, at_the_command_line(), "anna", Role.ADMIN)
    session = sign_in_by_link(app, link, PASSWORD, "127.0.0.1")
    app.database.close()
    seen, waiting = [], ["/"]
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", cookies={COOKIE: session}, timeout=60
    ) as client:
        while waiting and len(seen) < PAGES_AT_MOST:
            address = waiting.pop(0)
            seen.append(address)
            answer = client.get(address)
            assert answer.status_code in {200, 303, 404, 405}, (address, answer.text)
            found = [answer.headers.get("Location", "")]
            if "html" in answer.headers.get("Content-Type", ""):
                found += re.findall(r'(?:href|action|src|hx-get|hx-post)="([^"]*)"', answer.text)
            for item in found:
                plain = item.replace("&amp;", "&")
                if plain.startswith("/") and plain not in seen + waiting:
                    (waiting if "sign-out" not in plain else seen).append(plain)
        audit = client.get("/api/v1/audit").content
    return [*seen, *waiting], audit


@pytest.mark.peer
def test_a_planted_patient_is_in_no_log_figure_alarm_message_address_or_audit(
    tmp_path: Path,
    datagrams: Datagrams,
    receiver: Receiver,
    mailbox: tuple[Mailbox, int],
    denier: MiniPacs,
) -> None:
    metrics, console = free_port(), free_port()
    (tmp_path / "secret").write_text("sixteen bytes or more of it")
    (tmp_path / "service").mkdir()
    service = Service(
        folder=tmp_path / "service",
        destinations=[
            {"name": "denier", "ae_title": "DENIER", "host": "127.0.0.1", "port": denier.port}
        ],
        environment={
            "PULMONODE_CALLING_AE_TITLES": "TESTER",
            "PULMONODE_LOG_LEVEL": "debug",
            "PULMONODE_METRICS_ENABLED": "true",
            "PULMONODE_METRICS_PORT": str(metrics),
            "PULMONODE_CONSOLE_ENABLED": "true",
            "PULMONODE_CONSOLE_PORT": str(console),
            "PULMONODE_DETECTOR": "classical",
            "PULMONODE_SEGMENTER": "classical",
            "PULMONODE_GRADER": "none",
            "PULMONODE_RETRY_CAP_S": "1",
            "PULMONODE_NOTIFY_GROUP_S": "0",
            "PULMONODE_NOTIFY_INTERVAL_S": "0",
            "PULMONODE_WEBHOOK": json.dumps(
                {
                    "url": f"https://localhost:{receiver.server_port}/",
                    "secret_file": str(tmp_path / "secret"),
                    "ca_file": str(tmp_path / "certificates" / "ca.pem"),
                }
            ),
            "PULMONODE_EMAIL": json.dumps(
                {
                    "host": "127.0.0.1",
                    "port": mailbox[1],
                    "security": "none",
                    "sender": "pulmonode@hospital.example",
                    "recipients": ["it@hospital.example"],
                }
            ),
            "PULMONODE_DICOM_AUDIT": json.dumps(
                {"host": "127.0.0.1", "port": datagrams.port, "transport": "udp"}
            ),
        },
    )
    denier.commitment_peer = Peer(ae_title="PULMONODE", host="127.0.0.1", port=service.port)
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop)
        stack.callback(fall_silent, denier)
        service.start()
        with contextlib.suppress(DicomNodeError):
            echo(service.peer, "EVIL")
        series = plant(tmp_path / "series")
        service.send(series)
        service.send(spoil(series, tmp_path / "spoiled"))

        def told(code: str) -> bool:
            return any(code.encode() in body for _, body in receiver.taken)

        def states() -> set[str]:
            return {row["state"] for row in service.jobs()}

        for what, message in (
            (lambda: JobState.QUARANTINED in states(), "the spoiled series is quarantined"),
            (lambda: told("job_stopped"), "the webhook tells of it"),
            (lambda: told("not_confirmed"), "the webhook tells of a denied commitment"),
            (lambda: len(mailbox[0].taken) >= 2, "so do mails"),
            (lambda: any(b"110104" in data for data in datagrams.taken), "transfers are audited"),
        ):
            try:
                wait_for(what, limit_s=120, message=message)
            except AssertionError as error:
                raise AssertionError(
                    f"{error}\n{service.jobs()}\n{service.log.read_text()}"
                ) from None
        time.sleep(3)  # a scrape's figures are at most so old
        figures = b"".join(
            urllib.request.urlopen(f"http://127.0.0.1:{metrics + offset}/metrics").read()
            for offset in range(4)
        )
        addresses, audit = look_around(service, console)
        alarms = service.cli("alarms", "--json")
    written = {
        "log": service.log.read_bytes(),
        "figures": figures,
        "alarms": (alarms.stdout + alarms.stderr).encode(),
        "webhook": b"\n".join(body for _, body in receiver.taken),
        "mail": b"\n".join(bytes(mail.content or b"") for mail in mailbox[0].taken),
        "addresses": "\n".join(addresses).encode(),
        "audit": audit,
    }

    for name, data in written.items():
        assert len(data) > 100, f"nothing to look at: {name}"
        found = PLANTED.search(data)
        assert found is None, (name, data[max(0, found.start() - 300) : found.end() + 100])
    assert sum("/jobs/" in address for address in addresses) >= 2
    audited = b"\n".join(datagrams.taken)
    assert PATIENT_ID.encode() in audited  # where the standard wants it
    assert b"Plantedname" not in audited
    assert BIRTH_DATE.encode() not in audited
    assert b"110113" in audited  # EVIL was refused
