"""HL7 messages that tests send, and a client that speaks MLLP."""

from __future__ import annotations

import socket

SEGMENTS = {
    "msh": "MSH|^~\\&|LAB|HOSP|PULMONODE||20260301101500||{kind}|{control}|P|2.5.1||||||{charset}",
    "pid": "PID|1||{patient}^^^{authority}^MR||{name}||{birth}|{sex}",
}


def message(
    kind: str = "ORU^R01",
    *segments: str,
    control: str = "M1",
    patient: str = "4711",
    authority: str = "HOSP",
    name: str = "Roe^Jane",
    birth: str = "19600402",
    sex: str = "F",
    charset: str = "",
    at: str = "20260301101500",
) -> str:
    """A message with MSH and PID before the given segments."""
    msh = SEGMENTS["msh"].format(kind=kind, control=control, charset=charset)
    pid = SEGMENTS["pid"].format(
        patient=patient, authority=authority, name=name, birth=birth, sex=sex
    )
    return "\r".join([msh.replace("20260301101500", at), pid, *segments, ""])


def laboratory(
    value: str = "7.5",
    *,
    code: str = "2039-6^CEA^LN",
    unit: str = "ng/mL",
    status: str = "F",
    order: str = "O1",
    at: str = "20260301080000",
    **others: str,
) -> str:
    """An ORU^R01 with one numeric result."""
    return message(
        "ORU^R01",
        f"OBR|1|{order}|{order}|PANEL^Markers^L|||{at}|||||||||||||||{at}|||F",
        f"OBX|1|NM|{code}||{value}|{unit}|0-5|H|||{status}|||{at}",
        **others,
    )


class MllpClient:
    """A sender that waits for each answer."""

    def __init__(self, port: int, timeout_s: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)

    def send(self, frame: bytes | str) -> str:
        """Send one frame; returns the answer."""
        data = frame.encode() if isinstance(frame, str) else frame
        self.socket.sendall(b"\x0b" + data + b"\x1c\r")
        return self.answer().decode(errors="replace")

    def answer(self) -> bytes:
        """The next frame that comes."""
        buffer = bytearray()
        while b"\x1c\r" not in buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionError("the listener hung up")
            buffer += chunk
        return bytes(buffer[1 : buffer.index(b"\x1c\r")])

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def code_of(answer: str) -> str:
    """MSA-1 of an acknowledgement."""
    return next(line for line in answer.split("\r") if line.startswith("MSA")).split("|")[1]
