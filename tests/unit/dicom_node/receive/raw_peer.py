"""A peer that sends PDUs byte by byte, rightly or wrongly (PS3.8 section 9.3)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
COMMAND, LAST = 1, 2
ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 2, 3, 4, 5, 6, 7


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_rq(
    contexts: Sequence[tuple[str, str]],
    *,
    calling: str = "PACS",
    called: str = "PULMONODE",
    maximum_pdu: int = 16384,
) -> bytes:
    """A-ASSOCIATE-RQ with contexts 1, 3, 5 ... of (SOP class, transfer syntax)."""
    body = struct.pack(">HH", 1, 0) + called.ljust(16).encode() + calling.ljust(16).encode()
    body += bytes(32) + item(0x10, APPLICATION_CONTEXT.encode())
    for number, (sop_class, syntax) in enumerate(contexts):
        inner = item(0x30, sop_class.encode()) + item(0x40, syntax.encode())
        body += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + inner)
    user = item(0x51, struct.pack(">I", maximum_pdu)) + item(0x52, b"1.2.3.4")
    return pdu(1, body + item(0x50, user))


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def element(tag: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0"
    return struct.pack("<HHI", 0, tag, len(value)) + value


def store_command(uid: str, sop_class: str = CT, message_id: int = 1) -> bytes:
    inner = (
        element(0x0002, sop_class.encode())
        + element(0x0100, struct.pack("<H", 1))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 0))
        + element(0x1000, uid.encode())
    )
    return element(0, struct.pack("<I", len(inner))) + inner


def echo_command(message_id: int = 7) -> bytes:
    inner = (
        element(0x0002, VERIFICATION.encode())
        + element(0x0100, struct.pack("<H", 0x30))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0800, struct.pack("<H", 0x0101))
    )
    return element(0, struct.pack("<I", len(inner))) + inner


def status_of(command: bytes) -> int:
    at = command.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
    return int(struct.unpack_from("<H", command, at)[0])


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


class RawPeer:
    """One TCP connection; what comes back is read PDU by PDU."""

    def __init__(self, port: int, limit_s: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), limit_s)

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def associate(self, contexts: Iterable[tuple[str, str]] = (), **named: object) -> None:
        wanted = list(contexts) or [
            (CT, EXPLICIT_LITTLE),
            (VERIFICATION, IMPLICIT_LITTLE),
            (COMMITMENT, IMPLICIT_LITTLE),
        ]
        self.send(associate_rq(wanted, **named))  # type: ignore[arg-type]
        kind, _ = self.receive()
        assert kind == ASSOCIATE_AC

    def store(
        self, uid: str, data: bytes, *, command_size: int = 1 << 20, data_size: int = 1 << 14
    ) -> int:
        """One C-STORE, a P-DATA-TF for each piece; the status."""
        commands = in_pieces(store_command(uid), command_size)
        parts = in_pieces(data, data_size)
        for kind, pieces in ((COMMAND, commands), (0, parts)):
            for number, piece in enumerate(pieces, start=1):
                last = LAST if number == len(pieces) else 0
                self.send(pdu(P_DATA, pdv(1, kind | last, piece)))
        return self.status()

    def echo(self) -> int:
        self.send(pdu(P_DATA, pdv(3, COMMAND | LAST, echo_command())))
        return self.status()

    def status(self) -> int:
        kind, body = self.receive()
        assert kind == P_DATA, f"a PDU of type {kind} came, not P-DATA-TF"
        return status_of(body)

    def release(self) -> None:
        self.send(pdu(RELEASE_RQ, bytes(4)))
        assert self.receive()[0] == RELEASE_RP

    def receive(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; (0, b"") when the connection was closed."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBI", header)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionError:
                break
            if not piece:
                break
            data += piece
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.socket.close()
