"""C-STORE's command sets as bytes (PS3.7 sections 9.3.1 and 6.3.1, Implicit VR Little Endian).

Only what the fast path needs: to know a C-STORE-RQ, and to answer it. Whatever is not exactly
that goes to pynetdicom, whose judgement then counts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

C_STORE_RQ = 0x0001
C_STORE_RSP = 0x8001
NO_DATA_SET = 0x0101
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
AFFECTED_SOP_INSTANCE_UID = 0x1000
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """What a C-STORE-RQ says; the UIDs as they were sent, padding taken off."""

    context_id: int
    message_id: int
    affected_sop_class_uid: bytes
    affected_sop_instance_uid: bytes


def read_store_request(context_id: int, command: bytes) -> StoreRequest | None:
    """Read a command set; `None` unless it is a whole C-STORE-RQ with a data set to come."""
    elements: dict[int, bytes] = {}
    offset = 0
    while offset < len(command):
        if offset + 8 > len(command):
            return None
        group, element, length = struct.unpack_from("<HHI", command, offset)
        offset += 8
        if group != 0x0000 or element in elements or offset + length > len(command):
            return None
        elements[element] = command[offset : offset + length]
        offset += length
    field, message_id, data_set = (
        elements.get(element, b"") for element in (COMMAND_FIELD, MESSAGE_ID, COMMAND_DATA_SET_TYPE)
    )
    if not (len(field) == len(message_id) == len(data_set) == 2):
        return None
    if _short(field) != C_STORE_RQ or _short(data_set) == NO_DATA_SET:
        return None
    class_uid = elements.get(AFFECTED_SOP_CLASS_UID, b"").rstrip(b"\0 ")
    instance_uid = elements.get(AFFECTED_SOP_INSTANCE_UID, b"").rstrip(b"\0 ")
    if not class_uid or not instance_uid:
        return None
    return StoreRequest(
        context_id=context_id,
        message_id=_short(message_id),
        affected_sop_class_uid=class_uid,
        affected_sop_instance_uid=instance_uid,
    )


def store_response_pdu(request: StoreRequest, status: int) -> bytes:
    """A whole P-DATA-TF PDU with the C-STORE-RSP (PS3.8 section 9.3.5)."""
    elements = b"".join(
        (
            _element(AFFECTED_SOP_CLASS_UID, _even(request.affected_sop_class_uid)),
            _element(COMMAND_FIELD, struct.pack("<H", C_STORE_RSP)),
            _element(MESSAGE_ID_BEING_RESPONDED_TO, struct.pack("<H", request.message_id)),
            _element(COMMAND_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
            _element(STATUS, struct.pack("<H", status)),
            _element(AFFECTED_SOP_INSTANCE_UID, _even(request.affected_sop_instance_uid)),
        )
    )
    command = _element(0x0000, struct.pack("<I", len(elements))) + elements
    # Message control header 3: command, last fragment (PS3.8 section E.2)
    item = struct.pack(">IBB", len(command) + 2, request.context_id, 3) + command
    return struct.pack(">BBI", 0x04, 0, len(item)) + item


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0x0000, element, len(value)) + value


def _even(uid: bytes) -> bytes:
    return uid + b"\0" if len(uid) % 2 else uid


def _short(value: bytes) -> int:
    return int(struct.unpack("<H", value)[0])
