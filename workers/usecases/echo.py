"""Asking a configured destination whether it is there (C-ECHO), because somebody wants to know."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError
from workers.application import Application
from workers.errors import NoSuchDestination
from workers.usecases.audit import Actor, Outcome, record_alone
from workers.usecases.share_settings import with_site_settings

LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What a destination answered."""

    destination: str
    ok: bool
    found: str
    duration_s: float


def echo_destination(app: Application, name: str, *, by: Actor | None = None) -> Echo:
    """C-ECHO to a destination, from this machine.

    Raises
    ------
    NoSuchDestination
        If none of that name is configured.
    """
    settings = with_site_settings(app).settings
    item = settings.destination(name)
    if item is None:
        raise NoSuchDestination(name)
    peer = Peer(
        ae_title=item.ae_title,
        host=item.host,
        port=item.port,
        connect_timeout_s=min(LIMIT_S, item.connect_timeout_s),
        response_timeout_s=min(LIMIT_S, item.response_timeout_s),
    )
    began = time.perf_counter()
    try:
        echo(peer, settings.ae_title)
        ok, found = True, f"{peer} answers C-ECHO"
    except DicomNodeError as error:
        ok, found = False, str(error)
    duration_s = time.perf_counter() - began
    if by is not None:
        outcome = Outcome.DONE if ok else Outcome.FAILED
        record_alone(app, by, "destination.echo", subject=name, outcome=outcome)
    return Echo(destination=name, ok=ok, found=found, duration_s=duration_s)
