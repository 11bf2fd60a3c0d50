"""Whether the installed pynetdicom is one that `fast_association` was written for.

Told by the source of what it leans on, not by a version alone: a distribution may patch one.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from pynetdicom import association, dimse, dul, fsm, presentation, transport

TESTED_VERSIONS = ("3.0.4",)
RELIED_ON: tuple[Callable[..., Any], ...] = (
    association.Association.__init__,
    association.Association._abort_blocking,
    association.Association._run_reactor,
    association.Association.kill,
    association.Association.release,
    association.Association.run_reactor,
    dimse.DIMSEServiceProvider.receive_primitive,
    dul.DULServiceProvider.__init__,
    dul.DULServiceProvider._decode_pdu,
    dul.DULServiceProvider._is_transport_event,
    dul.DULServiceProvider._process_recv_primitive,
    dul.DULServiceProvider._read_pdu_data,
    dul.DULServiceProvider.run_reactor,
    dul.DULServiceProvider.stop_dul,
    fsm.DT_2,
    presentation.negotiate_as_acceptor,
    presentation.negotiate_unrestricted,
    transport.AssociationSocket.__init__,
    transport.AssociationSocket.close,
    transport.AssociationSocket.send,
    transport.RequestHandler._create_association,
    transport.RequestHandler.handle,
)
RELIED_ON_DIGEST = "11b460296c1660a09c19d067b7e365ba5c927ce78ebac5e97fc92b6051043811"
"""SHA-256 over the source of `RELIED_ON`."""


def why_not() -> str | None:
    """Why this pynetdicom cannot be made faster here; `None` when it can."""
    try:
        digest = relied_on_digest()
    except (OSError, TypeError) as error:
        return f"the source of pynetdicom cannot be read: {error}"
    if digest != RELIED_ON_DIGEST:
        return f"its internals differ from those of {', '.join(TESTED_VERSIONS)}"
    return None


def relied_on_digest() -> str:
    """SHA-256 over the source of everything in `RELIED_ON`."""
    digest = hashlib.sha256()
    for function in RELIED_ON:
        digest.update(inspect.getsource(function).encode())
    return digest.hexdigest()
