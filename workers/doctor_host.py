"""What `pulmonode doctor` looks at on this machine: ports, clock, processor, AE titles."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError
from dicom_node.receive.scp import ANY_CALLING_AE
from workers.application import RESTORE_MARK
from workers.peer_settings import AE_TITLE_PATTERN, DestinationSettings
from workers.settings import Settings
from workers.state.database import Database

ECHO_TIMEOUT_S = 5.0
CLOCKS_MAY_DIFFER_S = 5.0
"""As workers.usecases.recover.CLOCK_TOLERANCE_S."""
TIME_ERROR = 5
"""adjtimex(2): the kernel's clock is not synchronised."""
TIMEX_BYTES = 512
"""More than the structure has on any architecture."""
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to call for "everywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the examination; `ok` is `None` where there is nothing to judge."""

    what: str
    ok: bool | None
    found: str


def titles(settings: Settings) -> Iterator[Check]:
    """AE titles that could never match, or that would send our results to ourselves."""
    wrong = [
        f"{title!r} is no AE title (1 to 16 characters, no backslash)"
        for title in settings.calling_ae_titles
        if title != ANY_CALLING_AE and not re.fullmatch(AE_TITLE_PATTERN, title)
    ]
    wrong += [
        f"destination {item.name} has our own AE title {item.ae_title}"
        for item in settings.destinations
        if isinstance(item, DestinationSettings)
        and item.ae_title.strip() == settings.ae_title.strip()
    ]
    peers: dict[tuple[str, str, int], str] = {}
    for item in settings.destinations:
        first = peers.setdefault((item.peer_name, item.host, item.port), item.name)
        if first != item.name:
            wrong.append(f"destinations {first} and {item.name} are the same peer")
    calls = ", ".join(item.peer_name for item in settings.destinations) or "none"
    found = "; ".join(wrong) or f"{settings.ae_title}, destinations: {calls}"
    yield Check(what="AE titles", ok=not wrong, found=found)


def ports(settings: Settings) -> Iterator[Check]:
    """Whether the DICOM, the HL7 and the console's port are ours, or to be had."""
    yield _port("DICOM port", settings.host, settings.dicom_port, "DICOM_PORT", settings)
    if settings.hl7_port is not None:
        yield _port("HL7 port", settings.hl7_host, settings.hl7_port, "HL7_PORT", None)
    if settings.console_enabled:
        yield _port(
            "console port", settings.console_host, settings.console_port, "CONSOLE_PORT", None
        )


def _port(what: str, host: str, port: int, name: str, node: Settings | None) -> Check:
    if port == 0:
        return Check(what=what, ok=None, found="0: a free one is chosen at each start")
    where = f"{host} port {port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                remedy = f"set PULMONODE_{name}"
                if error.errno == errno.EACCES:
                    remedy += " to one above 1023, or give the unit CAP_NET_BIND_SERVICE"
                why = f"{where} cannot be had: {error.strerror}; {remedy}"
                return Check(what=what, ok=False, found=why)
        else:
            return Check(what=what, ok=True, found=f"{where} is free")
    if node is None:
        return Check(what=what, ok=True, found=f"{where}: something listens")
    return _own_echo(what, where, node)


def _own_echo(what: str, where: str, settings: Settings) -> Check:
    """Tell whether it is our node that listens at the DICOM port."""
    callers = [title for title in settings.calling_ae_titles if title != ANY_CALLING_AE]
    host = LOOPBACK.get(settings.host, settings.host)
    peer = Peer(
        ae_title=settings.ae_title,
        host=host,
        port=settings.dicom_port,
        connect_timeout_s=ECHO_TIMEOUT_S,
        response_timeout_s=ECHO_TIMEOUT_S,
    )
    try:
        echo(peer, callers[0] if callers else settings.ae_title)
    except DicomNodeError as error:
        why = f"{where} is taken by something that is not our node: {error}"
        return Check(what=what, ok=False, found=f"{why}; set PULMONODE_DICOM_PORT, or stop it")
    return Check(what=what, ok=True, found=f"{where}: the node listens and answers C-ECHO")


def clock(settings: Settings) -> Iterator[Check]:
    """How far the host's clock is from the database's, by which leases run."""
    kernel = ctypes.create_string_buffer(TIMEX_BYTES)
    synchronised = ctypes.CDLL(None).adjtimex(kernel) != TIME_ERROR
    said = "synchronised" if synchronised else (
        "not known to be synchronised (Debian: apt-get install systemd-timesyncd)"
    )  # fmt: skip
    apart = _apart_s(settings)
    if apart is None:
        yield Check(what="clock", ok=synchronised or None, found=said)
        return
    far = abs(apart) > CLOCKS_MAY_DIFFER_S
    found = f"{said}, {apart:+.1f} s from the database's"
    if far:
        found += f": more than {CLOCKS_MAY_DIFFER_S:g} s, put one of them right"
    yield Check(what="clock", ok=False if far else synchronised or None, found=found)


def _apart_s(settings: Settings) -> float | None:
    """Seconds that this host is ahead of a database on a server; `None` where there is none."""
    if settings.database_url.startswith("sqlite"):
        return None
    try:
        database = Database(settings.database_url)
    except (SQLAlchemyError, ImportError):
        return None  # said by its own line
    try:
        before = time.time()
        theirs = database.now()
        return (before + time.time()) / 2 - theirs
    except SQLAlchemyError:
        return None  # said by its own line
    finally:
        database.close()


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Check]:
    """Whether the processor has what the networks' engines are fast with."""
    if find_spec("torch") is None or not cpuinfo.exists():
        return
    flags: set[str] = set()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            flags = set(value.split())
            break
    machine = os.uname().machine
    if machine != "x86_64":
        yield Check(what="processor", ok=None, found=f"{machine}: times are not known to us")
        return
    there = [name for name in ("avx2", "avx512f", "amx_tile") if name in flags]
    found = ", ".join(there) or "no AVX2: analyses on the CPU take several times as long"
    yield Check(what="processor", ok="avx2" in flags or None, found=found)


def data_folder(settings: Settings) -> Iterator[Check]:
    """A restore that was cut off, and a folder that this user cannot write."""
    if (settings.data_dir / RESTORE_MARK).exists():
        found = (
            f"{settings.data_dir}: a restore was cut off; run the same 'pulmonode restore' again"
        )
        yield Check(what="data folder", ok=False, found=found)
    elif settings.data_dir.is_dir():
        owner = settings.data_dir.stat().st_uid
        ours = owner == os.geteuid() or os.geteuid() == 0
        found = f"{settings.data_dir}, of user {owner}"
        if not ours:
            found += f", and this is user {os.geteuid()}: run it as the service's user"
        yield Check(what="data folder", ok=ours, found=found)
