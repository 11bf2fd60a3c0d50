"""The slices of a series, fetched from a PACS into a folder: by C-GET, or by C-MOVE to a listener.

C-GET brings them on the association that asks for them (PS3.4 section C.4.3). Where a PACS does
not offer it, C-MOVE sends them to an AE title that the PACS knows (section C.4.2): a listener of
its own, which stands only while it waits and takes nothing but this series. Either way nothing
arrives at our Storage SCP, where it would start a job of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_context, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from pynetdicom.status import code_to_category

from dicom_node.deliver.peer import Peer, associated
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.query.find import cut_after
from dicom_node.query.prior import SLICES_AT_MOST, PriorSeries
from dicom_node.read.stored_file import DEFLATED_SYNTAXES
from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.server import Reception, StorageServer
from dicom_node.tls import TlsFiles, acceptor_context

PENDING = 0xFF00
OUT_OF_RESOURCES = 0xA700
NOT_ASKED_FOR = 0xC000
SOP_CLASS_NOT_SUPPORTED = 0x0122
TRANSFER_SYNTAXES = [uid for uid in ALL_TRANSFER_SYNTAXES if uid not in DEFLATED_SYNTAXES]
"""pynetdicom inflates a data set whole, however much that is; so nothing deflated is taken."""
LISTENER_LIMITS = ReceiveLimits(maximum_connections_per_peer=8)
LISTEN_AGAIN_S = 0.5
"""While another worker of this host listens on the same port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveDestination:
    """Where a PACS sends what C-MOVE asks for: known to it by this title, host and port."""

    ae_title: str
    host: str
    """That the listener binds to."""
    port: int
    tls: TlsFiles | None = None
    """Listen over TLS with these; `None` listens in clear text."""


@dataclass(slots=True)
class _Slices:
    """Writes the slices of one series into a folder."""

    folder: Path
    series_uid: str
    count: int = 0
    broken: OSError | None = None
    seen: set[str] = field(default_factory=set)

    def keep(self, event: Any) -> int:
        """Answer one C-STORE request; the same instance is counted once."""
        if self.count >= SLICES_AT_MOST:
            return OUT_OF_RESOURCES
        if str(event.dataset.get("SeriesInstanceUID", "")) != self.series_uid:
            return NOT_ASKED_FOR
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.seen:
            return 0x0000
        try:
            path = self.folder / f"{self.count:05d}.dcm"  # no UID of a peer becomes a path
            path.write_bytes(event.encoded_dataset())
        except OSError as error:
            self.broken = error
            return OUT_OF_RESOURCES
        self.seen.add(uid)
        self.count += 1
        return 0x0000


def fetch_series(
    peer: Peer,
    calling_ae_title: str,
    series: PriorSeries,
    folder: Path,
    *,
    limit_s: float,
    move_to: MoveDestination | None = None,
) -> int:
    """Bring the slices of a series into a folder.

    Parameters
    ----------
    folder : Path
        Empty; files are numbered.
    limit_s : float
        After which the connection is cut.
    move_to : MoveDestination, optional
        Ask with C-MOVE to there instead of C-GET.

    Returns
    -------
    int
        How many came.

    Raises
    ------
    PeerUnreachable
        If there is no association, or the slices are not here in time.
    PeerRefused
        If the PACS does not offer the service, or does not send every slice.
    OSError
        If a file cannot be written, or nothing can listen for C-MOVE.
    TlsUnusable
        If our files for TLS do not serve.
    """
    deadline = time.monotonic() + limit_s
    slices = _Slices(folder, series.series_uid)
    if move_to is None:
        service = "C-GET"
        status = _get(peer, calling_ae_title, series, slices, deadline)
    else:
        service = "C-MOVE"
        with _listening(move_to, slices, deadline):
            status = _move(peer, calling_ae_title, series, move_to, deadline)
    if slices.broken is not None:
        raise slices.broken
    if status is None or status == PENDING:
        raise PeerUnreachable(
            str(peer), f"{service} broke off, or did not end within {limit_s:g} s"
        )
    if code_to_category(status) != "Success" or slices.count < series.slice_count:
        what = f"{service} ({slices.count} slices came)"
        raise PeerRefused(str(peer), what, status, transient=True)
    return slices.count


def _get(
    peer: Peer, calling: str, series: PriorSeries, slices: _Slices, deadline: float
) -> int | None:
    contexts = [
        build_context(StudyRootQueryRetrieveInformationModelGet),
        build_context(CTImageStorage, TRANSFER_SYNTAXES),
    ]
    roles = [build_role(CTImageStorage, scp_role=True)]
    with (
        cut_after(max(deadline - time.monotonic(), 0.0)) as handlers,
        associated(
            peer, calling, contexts, [*handlers, (evt.EVT_C_STORE, slices.keep)], roles
        ) as assoc,
    ):
        model = StudyRootQueryRetrieveInformationModelGet
        return _last_status(peer, "C-GET", lambda: assoc.send_c_get(_keys(series), model), deadline)


def _move(
    peer: Peer, calling: str, series: PriorSeries, to: MoveDestination, deadline: float
) -> int | None:
    model = StudyRootQueryRetrieveInformationModelMove
    with (
        cut_after(max(deadline - time.monotonic(), 0.0)) as handlers,
        associated(peer, calling, [build_context(model)], handlers) as assoc,
    ):
        return _last_status(
            peer,
            "C-MOVE",
            lambda: assoc.send_c_move(_keys(series), to.ae_title, model),
            deadline,
        )


def _keys(series: PriorSeries) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "SERIES"
    keys.StudyInstanceUID = series.study_uid
    keys.SeriesInstanceUID = series.series_uid
    return keys


def _last_status(peer: Peer, service: str, send: Any, deadline: float) -> int | None:
    """The status that ended it; pending or `None` when time or line ended first."""
    status: int | None = PENDING
    try:
        for response, _ in send():
            status = int(response.Status) if "Status" in response else None
            if status is None or time.monotonic() > deadline:
                break
    except ValueError as error:  # no accepted presentation context
        raise PeerRefused(
            str(peer), f"Study Root {service}", SOP_CLASS_NOT_SUPPORTED, transient=False
        ) from error
    return status


@contextmanager
def _listening(to: MoveDestination, slices: _Slices, deadline: float) -> Iterator[None]:
    """A Storage SCP for CT that stands as long as the block; waits for its port."""
    context = None if to.tls is None else acceptor_context(to.tls)
    ae = AE(ae_title=to.ae_title)
    ae.require_called_aet = True
    ae.add_supported_context(CTImageStorage, TRANSFER_SYNTAXES)
    reception = Reception(
        begin=None,
        limits=LISTENER_LIMITS,
        tls_context=None if context is None else lambda: context,
        count=lambda _name: None,
    )
    while True:
        try:
            server = ae.make_server(
                (to.host, to.port),
                contexts=ae.supported_contexts,
                evt_handlers=[(evt.EVT_C_STORE, slices.keep)],
                server_class=StorageServer,
                reception=reception,
            )
            break
        except OSError:
            if time.monotonic() + LISTEN_AGAIN_S >= deadline:
                raise
            time.sleep(LISTEN_AGAIN_S)
    ae._servers.append(server)  # `shutdown` takes it out again
    threading.Thread(target=server.serve_forever, name="c-move", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
