"""Makes the audit messages of what happens here, where they are wanted at all.

What cannot be kept is said in the log; the work itself goes on.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import structlog
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicom_node.audit import events
from dicom_node.audit.events import Origin, Query, Transfer
from dicom_node.audit.message import AuditMessage, Outcome
from dicom_node.deliver.peer import Peer
from dicom_node.query.find import STUDY_ROOT_FIND, Asked
from dicom_node.read.header import Identity
from workers.audit_trail.spool import AuditSpool
from workers.peer_settings import AnyDestination
from workers.settings import Settings

log = structlog.get_logger()

PRODUCT = "Pulmonode"
AUDIT_URI = "audit"
"""Path of the console's audit, as the log's URI."""


def origin_of(settings: Settings) -> Origin:
    """Who this process is, to a repository."""
    host = socket.gethostname()
    return Origin(
        source_id=f"{PRODUCT}@{host}",
        process_id=f"{host}:{os.getpid()}",
        ae_title=settings.ae_title,
        host=host,
        site=settings.dicom_audit.site if settings.dicom_audit is not None else "",
    )


def keep(settings: Settings, message: AuditMessage) -> None:
    """Let a message wait for the repository."""
    try:
        AuditSpool(settings.data_dir).put(message)
    except OSError as error:
        log.error("audit_not_kept", error=type(error).__name__, reason=error.strerror)


def tell_activity(settings: Settings, *, starts: bool) -> None:
    """Tell that this process starts or stops."""
    if settings.dicom_audit is not None:
        origin = origin_of(settings)
        keep(settings, events.application_activity(origin, at=time.time(), starts=starts))


def tell_refused(settings: Settings, calling_ae_title: str, address: str, why: str) -> None:
    """Tell that an association was refused."""
    if settings.dicom_audit is None:
        return
    message = events.association_refused(
        origin_of(settings),
        calling_ae_title=calling_ae_title,
        address=address,
        why=why,
        at=time.time(),
    )
    keep(settings, message)


def tell_audit_read(settings: Settings, user: str, address: str) -> None:
    """Tell that somebody reads who did what."""
    if settings.dicom_audit is None:
        return
    message = events.audit_log_used(
        origin_of(settings), user=user, address=address, uri=AUDIT_URI, at=time.time()
    )
    keep(settings, message)


def transfer_to(
    destination: AnyDestination,
    identity: Identity,
    study_uid: str,
    sop_class_uids: Iterable[str],
) -> Transfer:
    """What a delivery moves; an HL7 message moves what the report says."""
    return Transfer(
        outgoing=True,
        peer_ae_title=destination.peer_name,
        peer_host=destination.host,
        study_instance_uid=study_uid,
        patient_id=identity.patient_id,
        accession_number=identity.accession_number,
        sop_classes=Counter(sop_class_uids),
    )


def fetch_from(peer: Peer, identity: Identity, study_uid: str, slices: int) -> Transfer:
    """What a fetch of an earlier CT moves, as far as the PACS said."""
    return Transfer(
        outgoing=False,
        fetched=True,
        peer_ae_title=peer.ae_title,
        peer_host=peer.host,
        study_instance_uid=study_uid,
        patient_id=identity.patient_id,
        accession_number="",
        sop_classes={str(CTImageStorage): slices},
    )


def tell_asked(settings: Settings, asked: Asked) -> None:
    """Tell that we asked a PACS what it has."""
    if settings.dicom_audit is None:
        return
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, True
    write_dataset(encoded, asked.keys)
    query = Query(
        peer_ae_title=asked.peer.ae_title,
        peer_host=asked.peer.host,
        sop_class_uid=STUDY_ROOT_FIND,
        transfer_syntax_uid=str(ImplicitVRLittleEndian),
        identifier=encoded.getvalue(),
    )
    outcome = Outcome.SUCCESS if asked.answered else Outcome.SERIOUS_FAILURE
    keep(settings, events.query(origin_of(settings), query, at=time.time(), outcome=outcome))


@contextmanager
def told_transfer(settings: Settings, transfer: Transfer) -> Iterator[None]:
    """Tell that a transfer begins, and how it ended."""
    if settings.dicom_audit is None:
        yield
        return
    origin = origin_of(settings)
    keep(settings, events.begin_transferring(origin, transfer, at=time.time()))
    outcome = Outcome.SERIOUS_FAILURE
    try:
        yield
        outcome = Outcome.SUCCESS
    finally:
        message = events.instances_transferred(origin, transfer, at=time.time(), outcome=outcome)
        keep(settings, message)
