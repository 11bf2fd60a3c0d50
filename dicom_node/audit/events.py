"""The audit messages that we make, field by field as PS3.15 section A.5.3 wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.audit import codes
from dicom_node.audit.message import (
    AccessPoint,
    AuditMessage,
    Outcome,
    Participant,
    ParticipantObject,
)

PERSON, SYSTEM_OBJECT = 1, 2
PATIENT_ROLE, REPORT_ROLE, SECURITY_RESOURCE_ROLE = 1, 3, 13
SECURITY_AUDIT_LOG = "Security Audit Log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who makes the messages.

    Attributes
    ----------
    source_id : str
        Audit Source ID: this system's name.
    process_id : str
        User ID of this process: its name and number on its host.
    """

    source_id: str
    process_id: str
    ae_title: str
    host: str
    site: str = ""

    def participant(self, *, is_requestor: bool, role: codes.Code | None = None) -> Participant:
        """Our process as a participant."""
        return Participant(
            user_id=self.process_id,
            ae_titles=(self.ae_title,),
            is_requestor=is_requestor,
            roles=() if role is None else (role,),
            access_point=self.host,
            access_point_type=AccessPoint.MACHINE_NAME,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Instances of one study that go from one node to another.

    Attributes
    ----------
    outgoing : bool
        From us to the peer; else from the peer to us.
    peer_host : str
        Its host name or address; empty where it is not known any more.
    sop_classes : mapping of str to int
        SOP Class UID to number of instances.
    fetched : bool
        We asked the peer for them, so we are the requestor though they come to us.
    """

    outgoing: bool
    peer_ae_title: str
    peer_host: str
    study_instance_uid: str
    patient_id: str
    accession_number: str
    sop_classes: Mapping[str, int]
    fetched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What we asked of a peer.

    Attributes
    ----------
    sop_class_uid : str
        Of the information model.
    transfer_syntax_uid : str
        Of `identifier`.
    identifier : bytes
        The keys, as an encoded data set.
    """

    peer_ae_title: str
    peer_host: str
    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes


def application_activity(origin: Origin, *, at: float, starts: bool) -> AuditMessage:
    """A process starts or stops (A.5.3.1)."""
    return AuditMessage(
        event=codes.APPLICATION_ACTIVITY,
        types=(codes.APPLICATION_START if starts else codes.APPLICATION_STOP,),
        action="E",
        at=at,
        participants=[origin.participant(is_requestor=False, role=codes.APPLICATION)],
        source_id=origin.source_id,
        site=origin.site,
    )


def begin_transferring(origin: Origin, transfer: Transfer, *, at: float) -> AuditMessage:
    """Instances begin to move between two nodes (A.5.3.3)."""
    return _transfer(origin, transfer, codes.BEGIN_TRANSFERRING, "E", at, Outcome.SUCCESS)


def instances_transferred(
    origin: Origin,
    transfer: Transfer,
    *,
    at: float,
    outcome: Outcome = Outcome.SUCCESS,
    changed: bool = False,
) -> AuditMessage:
    """Instances have moved, or have not (A.5.3.7); `changed`: the receiver had some already."""
    action = "U" if changed else "C"
    return _transfer(origin, transfer, codes.INSTANCES_TRANSFERRED, action, at, outcome)


def query(
    origin: Origin, asked: Query, *, at: float, outcome: Outcome = Outcome.SUCCESS
) -> AuditMessage:
    """We asked a peer what it has (A.5.3.10)."""
    peer = _peer(asked, is_requestor=False, role=codes.DESTINATION_ROLE)
    subject = ParticipantObject(
        type_code=SYSTEM_OBJECT,
        role=REPORT_ROLE,
        id_type=codes.SOP_CLASS_UID,
        id=asked.sop_class_uid,
        query=asked.identifier,
        details={"TransferSyntax": asked.transfer_syntax_uid},
    )
    return AuditMessage(
        event=codes.QUERY,
        action="E",
        outcome=outcome,
        at=at,
        participants=[origin.participant(is_requestor=True, role=codes.SOURCE_ROLE), peer],
        objects=[subject],
        source_id=origin.source_id,
        site=origin.site,
    )


def association_refused(
    origin: Origin, *, calling_ae_title: str, address: str, why: str, at: float
) -> AuditMessage:
    """A node was not let in (A.5.3.11, Node Authentication)."""
    caller = Participant(
        user_id=calling_ae_title or address,
        ae_titles=(calling_ae_title,) if calling_ae_title else (),
        is_requestor=True,
        access_point=address,
    )
    subject = ParticipantObject(
        type_code=SYSTEM_OBJECT,
        role=SECURITY_RESOURCE_ROLE,
        id_type=codes.NODE_ID,
        id=calling_ae_title or address,
        details={"Alert Description": why},
    )
    return AuditMessage(
        event=codes.SECURITY_ALERT,
        types=(codes.NODE_AUTHENTICATION,),
        action="E",
        outcome=Outcome.MINOR_FAILURE,
        at=at,
        participants=[origin.participant(is_requestor=False), caller],
        objects=[subject],
        source_id=origin.source_id,
        site=origin.site,
    )


def user_authentication(
    origin: Origin, *, user: str, address: str, login: bool, succeeded: bool, at: float
) -> AuditMessage:
    """Somebody signs in or out, or tries to (A.5.3.12)."""
    return AuditMessage(
        event=codes.USER_AUTHENTICATION,
        types=(codes.LOGIN if login else codes.LOGOUT,),
        action="E",
        outcome=Outcome.SUCCESS if succeeded else Outcome.MINOR_FAILURE,
        at=at,
        participants=[
            Participant(user_id=user, is_requestor=True, access_point=address),
            origin.participant(is_requestor=False),
        ],
        source_id=origin.source_id,
        site=origin.site,
    )


def audit_log_used(origin: Origin, *, user: str, address: str, uri: str, at: float) -> AuditMessage:
    """Somebody reads who did what (A.5.3.2)."""
    log = ParticipantObject(
        type_code=SYSTEM_OBJECT,
        role=SECURITY_RESOURCE_ROLE,
        id_type=codes.URI,
        id=uri,
        name=SECURITY_AUDIT_LOG,
    )
    return AuditMessage(
        event=codes.AUDIT_LOG_USED,
        action="R",
        at=at,
        participants=[
            Participant(user_id=user, is_requestor=True, access_point=address),
            origin.participant(is_requestor=False),
        ],
        objects=[log],
        source_id=origin.source_id,
        site=origin.site,
    )


def _peer(of: Transfer | Query, *, is_requestor: bool, role: codes.Code) -> Participant:
    return Participant(
        user_id=of.peer_ae_title,
        ae_titles=(of.peer_ae_title,),
        is_requestor=is_requestor,
        roles=(role,),
        access_point=of.peer_host,
        access_point_type=_kind(of.peer_host),
    )


def _transfer(
    origin: Origin,
    transfer: Transfer,
    event: codes.Code,
    action: str,
    at: float,
    outcome: Outcome,
) -> AuditMessage:
    ours, theirs = codes.SOURCE_ROLE, codes.DESTINATION_ROLE
    if not transfer.outgoing:
        ours, theirs = theirs, ours
    ask = transfer.outgoing or transfer.fetched
    we = origin.participant(is_requestor=ask, role=ours)
    peer = _peer(transfer, is_requestor=not ask, role=theirs)
    study = ParticipantObject(
        type_code=SYSTEM_OBJECT,
        role=REPORT_ROLE,
        id_type=codes.STUDY_INSTANCE_UID,
        id=transfer.study_instance_uid,
        sop_classes=transfer.sop_classes,
        accession_numbers=(transfer.accession_number,) if transfer.accession_number else (),
    )
    patient = ParticipantObject(
        type_code=PERSON,
        role=PATIENT_ROLE,
        id_type=codes.PATIENT_NUMBER,
        id=transfer.patient_id,
    )
    return AuditMessage(
        event=event,
        action=action,
        outcome=outcome,
        at=at,
        participants=[we, peer] if transfer.outgoing else [peer, we],
        objects=[study, patient],
        source_id=origin.source_id,
        site=origin.site,
    )


def _kind(host: str) -> AccessPoint:
    numeric = all(part.isdigit() for part in host.split(".")) or ":" in host
    return AccessPoint.IP_ADDRESS if numeric else AccessPoint.MACHINE_NAME
