"""An audit message and its XML by the schema of PS3.15 section A.5.1.

Deliberately absent: when a message is made (`workers.audit_trail`), and which patients' names
exist: a patient is named by ID alone.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree

from dicom_node.audit.codes import Code

NOT_IN_XML = dict.fromkeys(
    (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
)
"""Characters that XML 1.0 cannot hold (section 2.2)."""


class Outcome(enum.IntEnum):
    """Event Outcome Indicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


class AccessPoint(enum.IntEnum):
    """Network Access Point Type Code."""

    MACHINE_NAME = 1
    IP_ADDRESS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Active Participant: a person or process that takes part.

    Attributes
    ----------
    ae_titles : tuple of str
        Written as Alternative User ID, ``AETITLE=...`` (section A.5.2.2).
    """

    user_id: str
    is_requestor: bool
    ae_titles: tuple[str, ...] = ()
    roles: tuple[Code, ...] = ()
    access_point: str = ""
    access_point_type: AccessPoint = AccessPoint.IP_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantObject:
    """Something that the event is about.

    Attributes
    ----------
    type_code, role : int
        Participant Object Type Code (1 person, 2 system object) and its role.
    id_type : Code
        What kind of identifier `id` is.
    sop_classes : mapping of str to int
        SOP Class UID to number of instances.
    details : mapping of str to str
        Written in Base64, as the schema wants it.
    query : bytes
        What was asked, in place of a name; Base64 as well.
    """

    type_code: int
    role: int | None
    id_type: Code
    id: str
    name: str = ""
    life_cycle: int | None = None
    sop_classes: Mapping[str, int] = field(default_factory=dict)
    accession_numbers: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    query: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMessage:
    """One event; `at` is in seconds since the epoch."""

    event: Code
    at: float
    action: str
    """Event Action Code: C, R, U, D or E."""
    outcome: Outcome = Outcome.SUCCESS
    types: tuple[Code, ...] = ()
    participants: Sequence[Participant]
    objects: Sequence[ParticipantObject] = ()
    source_id: str
    site: str = ""

    def to_xml(self) -> bytes:
        """The message in UTF-8, without an XML declaration (it follows a byte order mark)."""
        root = ElementTree.Element("AuditMessage")
        event = ElementTree.SubElement(
            root,
            "EventIdentification",
            {
                "EventActionCode": self.action,
                "EventDateTime": utc(self.at),
                "EventOutcomeIndicator": str(int(self.outcome)),
            },
        )
        _code(event, "EventID", self.event)
        for code in self.types:
            _code(event, "EventTypeCode", code)
        for participant in self.participants:
            _participant(root, participant)
        source = {"AuditSourceID": _text(self.source_id)}
        if self.site:
            source["AuditEnterpriseSiteID"] = _text(self.site)
        element = ElementTree.SubElement(root, "AuditSourceIdentification", source)
        ElementTree.SubElement(element, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})
        for item in self.objects:
            _object(root, item)
        written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=False)
        return written


APPLICATION_SERVER = "4"
"""Audit Source Type Code of an application server process (section A.5.1.2.1)."""


def utc(seconds: float) -> str:
    """A moment in UTC, with milliseconds and ``Z`` (section A.5.2.5, RFC 3339)."""
    return (
        datetime.fromtimestamp(seconds, tz=UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _participant(root: ElementTree.Element, item: Participant) -> None:
    attributes = {
        "UserID": _text(item.user_id),
        "UserIsRequestor": "true" if item.is_requestor else "false",
    }
    if item.ae_titles:
        attributes["AlternativeUserID"] = f"AETITLE={_text(';'.join(item.ae_titles))}"
    if item.access_point:
        attributes["NetworkAccessPointID"] = _text(item.access_point)
        attributes["NetworkAccessPointTypeCode"] = str(int(item.access_point_type))
    element = ElementTree.SubElement(root, "ActiveParticipant", attributes)
    for role in item.roles:
        _code(element, "RoleIDCode", role)


def _object(root: ElementTree.Element, item: ParticipantObject) -> None:
    attributes = {
        "ParticipantObjectID": _text(item.id),
        "ParticipantObjectTypeCode": str(item.type_code),
    }
    if item.role is not None:
        attributes["ParticipantObjectTypeCodeRole"] = str(item.role)
    if item.life_cycle is not None:
        attributes["ParticipantObjectDataLifeCycle"] = str(item.life_cycle)
    element = ElementTree.SubElement(root, "ParticipantObjectIdentification", attributes)
    _code(element, "ParticipantObjectIDTypeCode", item.id_type)
    if item.query:
        asked = base64.b64encode(item.query).decode()
        ElementTree.SubElement(element, "ParticipantObjectQuery").text = asked
    else:
        ElementTree.SubElement(element, "ParticipantObjectName").text = _text(item.name)
    for kind, value in item.details.items():
        encoded = base64.b64encode(value.encode()).decode()
        ElementTree.SubElement(element, "ParticipantObjectDetail", {"type": kind, "value": encoded})
    if item.sop_classes or item.accession_numbers:
        description = ElementTree.SubElement(element, "ParticipantObjectDescription")
        for number in item.accession_numbers:
            ElementTree.SubElement(description, "Accession", {"Number": _text(number)})
        for uid, count in sorted(item.sop_classes.items()):
            ElementTree.SubElement(
                description, "SOPClass", {"UID": _text(uid), "NumberOfInstances": str(count)}
            )


def _code(parent: ElementTree.Element, name: str, code: Code) -> None:
    ElementTree.SubElement(
        parent,
        name,
        {
            "csd-code": code.value,
            "codeSystemName": code.system,
            "originalText": code.meaning,
        },
    )


def _text(value: str) -> str:
    return value.translate(NOT_IN_XML)
