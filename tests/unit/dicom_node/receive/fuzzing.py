"""True PDUs of whole associations, and a mutator with a fixed seed that breaks them."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.unit.dicom_node.receive.raw_peer import in_pieces

INTERESTING = (0, 1, 2, 3, 5, 6, 0x7F, 0x80, 0xFF)
LENGTHS = (0, 1, 5, 6, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass
class Recorder:
    """Listens between a real sender and the SCP, and keeps what the sender sends."""

    port: int
    sent: bytearray = field(default_factory=bytearray)

    def relay(self, call: Callable[[int], None]) -> list[bytes]:
        """Let `call` use our port; the PDUs that went through."""
        import threading

        listener = socket.create_server(("127.0.0.1", 0))

        def pass_on() -> None:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", self.port), 30)

            def back() -> None:
                while data := far.recv(65536):
                    near.sendall(data)

            answering = threading.Thread(target=back, daemon=True)
            answering.start()
            while data := near.recv(65536):
                self.sent += data
                far.sendall(data)
            far.close()
            near.close()

        relaying = threading.Thread(target=pass_on, daemon=True)
        relaying.start()
        call(listener.getsockname()[1])
        relaying.join(30)
        listener.close()
        return split_pdus(bytes(self.sent))


def split_pdus(stream: bytes) -> list[bytes]:
    """Cut a byte stream where its PDUs end."""
    found = []
    while len(stream) >= 6:
        (length,) = struct.unpack_from(">I", stream, 2)
        found.append(stream[: 6 + length])
        stream = stream[6 + length :]
    return found


def mutated(dice: random.Random, pdu: bytes) -> bytes:
    """One PDU, changed in one of many ways; sometimes its length is put right again."""
    data = bytearray(pdu)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        where = dice.randrange(len(data)) if data else 0
        way = dice.randrange(8)
        if way == 0 and data:
            data[where] ^= 1 << dice.randrange(8)
        elif way == 1 and data:
            data[where] = dice.choice(INTERESTING)
        elif way == 2:
            data[where:where] = dice.randbytes(dice.choice((1, 2, 4, 16, 200)))
        elif way == 3:
            del data[where : where + dice.choice((1, 2, 4, 16, 200))]
        elif way == 4 and len(data) > where + 4:
            struct.pack_into(">I", data, where, dice.choice(LENGTHS))
        elif way == 5 and len(data) > where + 2:
            struct.pack_into("<H", data, where, dice.choice(LENGTHS) & 0xFFFF)
        elif way == 6:
            data[where:where] = data[where : where + dice.randrange(1, 64)]
        elif len(data) >= 6:
            data[0] = dice.randrange(10)
    if len(data) >= 6 and dice.random() < 0.7:
        struct.pack_into(">I", data, 2, len(data) - 6)
    return bytes(data)


def associations(dice: random.Random, recorded: list[list[bytes]]) -> Iterator[list[bytes]]:
    """Without end: a recorded association with some of its PDUs broken, doubled, left out."""
    while True:
        pdus = list(dice.choice(recorded))
        if dice.random() < 0.8:  # the association itself is asked for rightly
            head, rest = pdus[:1], pdus[1:]
        else:
            head, rest = [mutated(dice, pdus[0])], pdus[1:]
        broken = []
        for pdu in rest:
            chance = dice.random()
            if chance < 0.45:
                broken.append(pdu)
            elif chance < 0.85:
                broken.append(mutated(dice, pdu))
            elif chance < 0.92:
                broken += [pdu, pdu]
            elif chance < 0.96:
                broken += in_pieces(pdu, max(1, len(pdu) // 3))
        if dice.random() < 0.1:
            dice.shuffle(broken)
        yield head + broken
