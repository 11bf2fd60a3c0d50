"""Preamble and File Meta Information of a file (PS3.10 section 7.1), written before its data.

Encoded here, since every received instance needs it and pydicom's writer takes as long as the
rest of receiving; a test compares both.
"""

from __future__ import annotations

import struct

PREAMBLE = b"\0" * 128 + b"DICM"
FILE_META_INFORMATION_VERSION = b"\x00\x01"


def part10_head(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    implementation_class_uid: str,
    implementation_version_name: str,
    source_ae_title: str,
    receiving_ae_title: str,
) -> bytes:
    """Everything before the data set, Explicit VR Little Endian.

    The values go in as they are; whoever calls has checked them.

    Raises
    ------
    UnicodeEncodeError
        If a value is not ASCII.
    """
    group = b"".join(
        (
            struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + FILE_META_INFORMATION_VERSION,
            _element(0x0002, b"UI", sop_class_uid),
            _element(0x0003, b"UI", sop_instance_uid),
            _element(0x0010, b"UI", transfer_syntax_uid),
            _element(0x0012, b"UI", implementation_class_uid),
            _element(0x0013, b"SH", implementation_version_name),
            _element(0x0016, b"AE", source_ae_title),
            _element(0x0018, b"AE", receiving_ae_title),
        )
    )
    return PREAMBLE + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(group)) + group


def _element(element: int, vr: bytes, value: str) -> bytes:
    """One short element of group 0002, padded to even length (PS3.5 section 6.2)."""
    encoded = value.encode("ascii")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, element, vr, len(encoded)) + encoded
