"""The Storage SCU (PS3.4 Annex B): sends finished files as they are, and says what became of
each. Proposes only the SOP classes and transfer syntaxes that are being sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.presentation import PresentationContext

from dicom_node.deliver.peer import Peer, context
from dicom_node.errors import DeliveryError, PeerRefused, PeerUnreachable, UnreadableInstance

UNCOMPRESSED = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
MAXIMUM_CONTEXTS = 128
"""Presentation context IDs are the odd numbers 1 to 255 (PS3.8 section 9.3.2.2)."""
WARNING_STATUSES = frozenset({0xB000, 0xB006, 0xB007})
"""Stored, with coercion or doubt (PS3.4 table B.2-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A Part 10 file to send."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReceipt:
    """The peer's answer to one C-STORE; `warning` holds its status where it was not Success."""

    sop_class_uid: str
    sop_instance_uid: str
    warning: int | None = None


def read_outgoing(path: Path) -> Outgoing:
    """Read what a file says of itself in its meta information.

    Raises
    ------
    UnreadableInstance
        If it is not a Part 10 file, or its meta information is incomplete.
    """
    try:
        meta = read_file_meta_info(path)
        return Outgoing(
            path=path,
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
        )
    except (OSError, AttributeError, ValueError, EOFError) as error:
        raise UnreadableInstance(str(path), f"no file meta information ({error})") from error


def storage_contexts(objects: Sequence[Outgoing]) -> list[PresentationContext]:
    """Contexts for exactly what is sent: each class in its own syntax, and, for uncompressed
    objects, one more in Implicit VR Little Endian, which every peer must take (PS3.5 section 10).

    Raises
    ------
    DeliveryError
        If more than 128 contexts would be needed for one association.
    """
    pairs = list(dict.fromkeys((item.sop_class_uid, item.transfer_syntax_uid) for item in objects))
    contexts = [context(sop_class, syntax) for sop_class, syntax in pairs]
    default = str(ImplicitVRLittleEndian)
    fallback = dict.fromkeys(
        sop_class
        for sop_class, syntax in pairs
        if syntax in UNCOMPRESSED and (sop_class, default) not in pairs
    )
    contexts += [context(sop_class, default) for sop_class in fallback]
    if len(contexts) > MAXIMUM_CONTEXTS:
        raise DeliveryError(
            f"{len(contexts)} presentation contexts needed, one association holds "
            f"{MAXIMUM_CONTEXTS}: send fewer kinds of objects at once"
        )
    return contexts


def store_all(
    assoc: Any,
    peer: Peer,
    objects: Sequence[Outgoing],
    on_stored: Callable[[StoreReceipt], None] = lambda _receipt: None,
    before_each: Callable[[], None] = lambda: None,
) -> Iterator[StoreReceipt]:
    """Send objects one after the other over an open association.

    Parameters
    ----------
    assoc : pynetdicom.association.Association
        Established with `storage_contexts` of the same objects.
    peer : Peer
        For messages.
    objects : sequence of Outgoing
        Sent in this order, byte for byte where the peer took the file's transfer syntax.
    on_stored : callable
        Called after each answer, for progress.
    before_each : callable
        Called right before each C-STORE; what it raises keeps the object here.

    Raises
    ------
    PeerRefused
        At the first answer that is neither Success nor Warning. Out of Resources (0xA7xx)
        and processing failures are transient, a data set that the peer will not have is not.
    PeerUnreachable
        If the association broke.
    """
    # Send the file's own bytes, in pieces, without decoding and encoding them again.
    _config.STORE_SEND_CHUNKED_DATASET = True
    accepted = {
        (str(item.abstract_syntax), str(item.transfer_syntax[0]))
        for item in assoc.accepted_contexts
    }
    for item in objects:
        payload = _payload(item, peer, accepted)
        before_each()
        try:
            response = assoc.send_c_store(payload)
        except (RuntimeError, OSError) as error:
            raise PeerUnreachable(str(peer), f"association broke: {error}") from error
        if "Status" not in response:
            raise PeerUnreachable(str(peer), f"no answer to C-STORE of {item.sop_instance_uid}")
        status = int(response.Status)
        if status != 0x0000 and status not in WARNING_STATUSES:
            raise PeerRefused(
                str(peer),
                f"C-STORE of {item.sop_instance_uid}",
                status,
                transient=_is_transient(status),
            )
        receipt = StoreReceipt(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            warning=status or None,
        )
        on_stored(receipt)
        yield receipt


def _payload(item: Outgoing, peer: Peer, accepted: set[tuple[str, str]]) -> Any:
    """The file itself, or its data set for conversion to the peer's default syntax."""
    if (item.sop_class_uid, item.transfer_syntax_uid) in accepted:
        return item.path
    default = (item.sop_class_uid, str(ImplicitVRLittleEndian))
    if item.transfer_syntax_uid in UNCOMPRESSED and default in accepted:
        return dcmread(item.path)
    raise PeerRefused(
        str(peer),
        f"SOP class {item.sop_class_uid} in transfer syntax {item.transfer_syntax_uid}",
        0x0122,  # SOP Class not supported (PS3.7 section C.5.6)
        transient=False,
    )


def _is_transient(status: int) -> bool:
    """Out of Resources (A7xx) and failures without a class of their own may pass.

    PS3.4 table B.2-1: A9xx (data set does not match SOP class) and Cxxx (cannot understand)
    will be answered the same way again.
    """
    return not (0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF or status == 0x0122)
