"""What is changed in pynetdicom so that C-STORE keeps up with the wire.

pynetdicom negotiates, keeps the state machine of PS3.8 section 9.2 and serves every message
but one: a C-STORE-RQ with its data set is read here, fragment by fragment, in the thread that
reads the socket, and answered from there. Four things differ from pynetdicom's own way:

- The reading thread waits for its socket and for primitives to send, and the association's
  thread for messages, instead of sleeping a millisecond at a time (`waiting`).
- A C-STORE's data set goes to its `Arrival` as it comes, never into memory as a whole.
- A PDU must be whole within a time and shorter than a limit; one that is not ends the association.
- Associations share the UIDs of the supported contexts.

It leans on pynetdicom's internals. `pynetdicom_internals` compares them with what this was
written for; where they differ, `scp` uses pynetdicom as it is. `docs/pynetdicom.md` tells
what could go upstream.
"""

from __future__ import annotations

import copy
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import PresentationContext

from dicom_node.receive.paced_socket import CONNECTION_CLOSED, PacedSocket, poller_of
from dicom_node.receive.store_command import (
    StoreRequest,
    read_store_request,
    store_response_pdu,
)
from dicom_node.receive.waiting import LOOK_AGAIN_S, Bell, Gate, SignallingQueue

log = structlog.get_logger()

P_DATA_TF = 0x04
PDU_HEADER = struct.Struct(">BBI")
PDV_HEADER = struct.Struct(">IBB")
COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 section E.2)."""
MAXIMUM_COMMAND_BYTES = 16384
MAXIMUM_PLAIN_MESSAGE_BYTES = 16 << 20
"""Of one message that pynetdicom gathers in memory: a storage commitment report at most."""
LEAST_PEER_PDU_BYTES = 512
"""A C-STORE-RSP fits into it; to a peer that takes less, pynetdicom answers in pieces."""
INVALID_PDU = "Evt19"
ESTABLISHED = "Sta6"


class Arrival(Protocol):
    """One instance on its way in; none of its methods raises."""

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set; the view is reused afterwards."""

    def finish(self) -> int:
        """The data set is whole: make it durable; returns the C-STORE status."""

    def abandon(self) -> None:
        """The rest never comes: leave nothing behind."""


BeginArrival = Callable[[Association, StoreRequest], Arrival]


class WireLimits(Protocol):
    """How much and how slowly a peer may send."""

    @property
    def maximum_pdu_bytes(self) -> int:
        """Longest PDU taken, whatever was announced."""

    @property
    def pdu_timeout_s(self) -> float:
        """By when a PDU that began is whole."""

    @property
    def instance_timeout_s(self) -> float:
        """By when an instance that began is whole."""


def make_fast(assoc: Any, begin: BeginArrival, limits: WireLimits) -> None:
    """Change an acceptor's association that was not started yet."""
    request = assoc.dul.socket.socket
    gate = Gate()
    assoc._reactor_checkpoint = gate
    assoc.dimse.msg_queue = SignallingQueue(gate.notice)
    assoc.dul = StreamingDul(assoc, gate, begin, limits)
    assoc.dul.socket = PacedSocket(assoc, client_socket=request)
    # setting them reaches the new DUL's timers
    assoc.acse_timeout = assoc.acse_timeout
    assoc.network_timeout = assoc.network_timeout


class SharedContexts(list[PresentationContext]):
    """Supported contexts of which each association gets copies, but not of their UIDs.

    pynetdicom copies some 200 contexts with 60 UIDs each in depth for every connection, which
    takes longer than receiving dozens of instances; it changes neither.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> list[PresentationContext]:
        del memo
        return [copy.copy(item) for item in self]


class StreamingDul(DULServiceProvider):
    """pynetdicom's upper layer, with C-STORE's data sets taken out of its stream."""

    def __init__(
        self, assoc: Association, gate: Gate, begin: BeginArrival, limits: WireLimits
    ) -> None:
        super().__init__(assoc)
        self._gate = gate
        self._begin = begin
        self._limits = limits
        self._bell = Bell()
        self._poller = poller_of(self._bell)
        self._polled: Any = None
        self.to_provider_queue = SignallingQueue(self._bell.ring)
        self.to_user_queue = SignallingQueue(gate.notice)
        self._run_loop_delay = 0.0  # `_is_transport_event` waits
        self._buffer = bytearray(1 << 17)
        self._command = bytearray()
        self._held = bytearray()
        self._plain_bytes = 0
        self._request: StoreRequest | None = None
        self._arrival: Arrival | None = None
        self._instance_deadline = 0.0

    @property
    def _wire(self) -> PacedSocket:
        return cast(PacedSocket, self.socket)

    def run_reactor(self) -> None:
        """The loop of pynetdicom; afterwards nothing half received is left behind."""
        try:
            super().run_reactor()
        finally:
            self._abandon()
            self._bell.close()
            self._gate.notice()

    def kill_dul(self) -> None:
        """End the loop now, not at its next look around."""
        super().kill_dul()
        self._bell.ring()

    def stop_dul(self) -> bool:
        """End the loop when it is idle; as pynetdicom, but woken up."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def _is_transport_event(self) -> bool:
        """Wait for the peer or for a primitive to send; read while nothing else is to do.

        pynetdicom's loop sleeps between two looks, be it for no time; that alone gives the core
        away.
        """
        if self.state_machine.current_state == "Sta13":
            return bool(super()._is_transport_event())
        found = False
        while self.event_queue.empty() and self.to_provider_queue.empty() and self._wait():
            self._read_pdu_data()
            self._idle_timer.restart()
            found = True
            if self._kill_thread or self.state_machine.current_state != ESTABLISHED:
                break
        return found

    def _wait(self) -> bool:
        """Whether the socket has something; `False` also when a primitive came or time passed."""
        wire = self._wire
        if wire.holds_data:
            return True
        try:
            if wire.socket is not self._polled:
                self._poller = poller_of(*filter(None, (self._bell, wire.socket)))
                self._polled = wire.socket
            found = [descriptor for descriptor, _ in self._poller.poll(LOOK_AGAIN_S * 1000)]
        except (OSError, ValueError):
            self.event_queue.put(CONNECTION_CLOSED)
            return False
        if self._bell.fileno() in found:
            self._bell.hush()
            return False
        return bool(found)

    def _read_pdu_data(self) -> None:
        """Read one PDU; a C-STORE's goes to its arrival, any other to pynetdicom."""
        wire = self._wire
        if wire.holds_pushed_back:
            super()._read_pdu_data()
            return
        waiting_for_request = self.state_machine.current_state == "Sta2"
        wire.read_limit_s = (
            self.assoc.acse_timeout if waiting_for_request else self._limits.pdu_timeout_s
        )
        try:
            header = wire.recv(PDU_HEADER.size)
            if len(header) < PDU_HEADER.size:
                self._lose()
                return
            kind, _, length = PDU_HEADER.unpack(header)
            if length > self._limits.maximum_pdu_bytes:
                self._refuse(f"a PDU of {length} bytes, limit {self._limits.maximum_pdu_bytes}")
                return
            if kind != P_DATA_TF:
                self._abandon()
                wire.push_back(bytes(header))
                super()._read_pdu_data()
                return
            if length > len(self._buffer):
                self._buffer = bytearray(length)
            body = memoryview(self._buffer)[:length]
            if wire.recv_into(body) < length:
                self._lose()
                return
        except OSError as error:
            log.warning("peer_lost", peer=self.assoc.requestor.address, reason=str(error))
            self._lose()
            return
        if self._takes_plain(length):
            wire.push_back(bytes(header) + body)
            super()._read_pdu_data()
        else:
            self._take(body)

    def _takes_plain(self, length: int) -> bool:
        """Whether pynetdicom is in the middle of a message, or not in data transfer at all."""
        if self.state_machine.current_state != ESTABLISHED:
            return True
        if self.assoc.dimse.message is None:
            self._plain_bytes = 0
            return self._peer_limit() < LEAST_PEER_PDU_BYTES
        self._plain_bytes += length
        if self._plain_bytes > MAXIMUM_PLAIN_MESSAGE_BYTES:
            self._plain_bytes = 0
            log.error("message_too_large", peer=self.assoc.requestor.address)
            self.assoc.dimse.message = None
            self.event_queue.put(INVALID_PDU)
        return True

    def _peer_limit(self) -> int:
        """Longest PDU that the peer takes, in bytes; 0 in its request means any."""
        limit = self.assoc.requestor.maximum_length
        return int(limit) if limit else LEAST_PEER_PDU_BYTES

    def _take(self, body: memoryview) -> None:
        """Take the presentation data values of one P-DATA-TF (PS3.8 section 9.3.5.1)."""
        offset = begun_at = 0
        while offset < len(body):
            if offset + PDV_HEADER.size > len(body):
                self._refuse("a presentation data value is cut short")
                return
            length, context_id, control = PDV_HEADER.unpack_from(body, offset)
            end = offset + 4 + length
            if length < 2 or end > len(body):
                self._refuse(f"a presentation data value of {length} bytes does not fit its PDU")
                return
            fragment = body[offset + PDV_HEADER.size : end]
            if self._arrival is not None:
                if not self._take_data(context_id, control, fragment):
                    return
                begun_at = end
            elif not self._take_command(context_id, control, fragment, body[begun_at:]):
                return
            offset = end
        if self._arrival is None and begun_at < len(body):
            self._hold(body[begun_at:])

    def _take_data(self, context_id: int, control: int, fragment: memoryview) -> bool:
        """Hand a fragment on; `False` when the association ends with it."""
        request, arrival = self._request, self._arrival
        if request is None or arrival is None:
            return False
        if control & COMMAND or context_id != request.context_id:
            self._refuse("another message came within a data set")
            return False
        if time.monotonic() > self._instance_deadline:
            self._refuse(f"an instance was not whole in {self._limits.instance_timeout_s:g} s")
            return False
        arrival.write(fragment)
        if control & LAST:
            self._arrival = None
            status = arrival.finish()
            self._wire.send(store_response_pdu(request, status))
        return True

    def _take_command(
        self, context_id: int, control: int, fragment: memoryview, pdu_from_command: memoryview
    ) -> bool:
        """Gather a command set; `False` when it goes to pynetdicom or the association ends."""
        self._command += fragment
        if len(self._command) > MAXIMUM_COMMAND_BYTES:
            self._refuse("the command set is too long")
            return False
        is_command = bool(control & COMMAND)
        if is_command and not control & LAST:
            return True
        request = read_store_request(context_id, bytes(self._command)) if is_command else None
        self._command.clear()
        if request is None or context_id not in self.assoc._accepted_cx:
            self._hold(pdu_from_command)
            self._wire.push_back(bytes(self._held))
            self._held.clear()
            super()._read_pdu_data()
            return False
        self._held.clear()
        self._request = request
        self._instance_deadline = time.monotonic() + self._limits.instance_timeout_s
        self._arrival = self._begin(self.assoc, request)
        return True

    def _hold(self, rest: memoryview) -> None:
        """Keep a part of a PDU that may have to go to pynetdicom, as a PDU."""
        self._held += PDU_HEADER.pack(P_DATA_TF, 0, len(rest)) + rest

    def _refuse(self, why: str) -> None:
        """End the association as after an invalid PDU (A-ABORT, PS3.8 action AA-8)."""
        log.error("association_aborted", peer=self.assoc.requestor.address, reason=why)
        self._abandon()
        self.event_queue.put(INVALID_PDU)

    def _lose(self) -> None:
        self._abandon()
        self.event_queue.put(CONNECTION_CLOSED)

    def _abandon(self) -> None:
        """Leave nothing of an instance whose rest never comes."""
        self._command.clear()
        self._held.clear()
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.abandon()
