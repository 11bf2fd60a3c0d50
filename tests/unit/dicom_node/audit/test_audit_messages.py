"""Audit messages by the schema of PS3.15 A.5.1 and the tables of A.5.3."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from lxml import etree

from dicom_node.audit import events
from dicom_node.audit.events import Origin, Query, Transfer
from dicom_node.audit.message import AuditMessage, Outcome
from dicom_node.audit.syslog import Header, frame
from tests.conftest import REPOSITORY

SCHEMA = etree.RelaxNG(etree.parse(REPOSITORY / "tests/conformance/audit_message.rng"))
AT = 1_700_000_000.25
CT = "1.2.840.10008.5.1.4.1.1.2"
ORIGIN = Origin(
    source_id="Pulmonode@host", process_id="host:17", ae_title="PULMONODE", host="host", site="Ward"
)
OUT = Transfer(
    outgoing=True, peer_ae_title="PACS", peer_host="10.0.0.5", study_instance_uid="1.2.3",
    patient_id="ID-7", accession_number="A1", sop_classes={CT: 64},
)  # fmt: skip
IN = Transfer(
    outgoing=False, peer_ae_title="CT1", peer_host="", study_instance_uid="1.2.3",
    patient_id="", accession_number="", sop_classes={CT: 2, "1.2.840.10008.5.1.4.1.1.7": 1},
)  # fmt: skip
FETCHED = replace(IN, fetched=True)
ASKED = Query(
    peer_ae_title="PACS", peer_host="10.0.0.5", sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1",
    transfer_syntax_uid="1.2.840.10008.1.2", identifier=b"\x10\x00\x20\x00\x04\x00\x00\x00ID-7",
)  # fmt: skip
CALLER = {"calling_ae_title": "EVIL", "address": "10.6.6.6", "why": "AE title is not allowed"}
USER = {"user": "anna", "address": "10.1.2.3"}
MESSAGES: Mapping[str, tuple[AuditMessage, str, str, str]] = {
    # message, EventID, EventActionCode, EventTypeCode
    "start": (events.application_activity(ORIGIN, at=AT, starts=True), "110100", "E", "110120"),
    "stop": (events.application_activity(ORIGIN, at=AT, starts=False), "110100", "E", "110121"),
    "begin out": (events.begin_transferring(ORIGIN, OUT, at=AT), "110102", "E", ""),
    "begin in": (events.begin_transferring(ORIGIN, IN, at=AT), "110102", "E", ""),
    "out": (events.instances_transferred(ORIGIN, OUT, at=AT), "110104", "C", ""),
    "in": (events.instances_transferred(ORIGIN, IN, at=AT, changed=True), "110104", "U", ""),
    "fetch": (events.begin_transferring(ORIGIN, FETCHED, at=AT), "110102", "E", ""),
    "query": (events.query(ORIGIN, ASKED, at=AT), "110112", "E", ""),
    "refused": (events.association_refused(ORIGIN, at=AT, **CALLER), "110113", "E", "110126"),
    "login": (
        events.user_authentication(ORIGIN, at=AT, login=True, succeeded=True, **USER),
        "110114", "E", "110122",
    ),
    "logout": (
        events.user_authentication(ORIGIN, at=AT, login=False, succeeded=True, **USER),
        "110114", "E", "110123",
    ),
    "audit read": (events.audit_log_used(ORIGIN, at=AT, uri="audit", **USER), "110101", "R", ""),
}  # fmt: skip


def parsed(message: AuditMessage) -> etree._Element:
    root = etree.fromstring(message.to_xml())
    assert SCHEMA.validate(root), SCHEMA.error_log
    return root


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_is_valid_and_carries_its_codes(name: str) -> None:
    message, event, action, kind = MESSAGES[name]

    root = parsed(message)

    assert root.xpath("EventIdentification/EventID/@csd-code") == [event]
    assert root.xpath("EventIdentification/@EventActionCode") == [action]
    assert root.xpath("EventIdentification/@EventDateTime") == ["2023-11-14T22:13:20.250Z"]
    assert root.xpath("EventIdentification/EventTypeCode/@csd-code") == ([kind] if kind else [])
    assert root.xpath("AuditSourceIdentification/@AuditEnterpriseSiteID") == ["Ward"]


@pytest.mark.parametrize(
    ("broken", "attribute"),
    [("EventIdentification", "EventDateTime"), ("ActiveParticipant", "UserID")],
)
def test_the_schema_refuses_what_lacks_an_attribute(broken: str, attribute: str) -> None:
    root = parsed(MESSAGES["out"][0])
    del root.find(broken).attrib[attribute]

    assert not SCHEMA.validate(root)


@pytest.mark.parametrize(
    ("name", "source", "destination", "requestor"),
    [
        ("out", "PULMONODE", "PACS", "PULMONODE"),
        ("in", "CT1", "PULMONODE", "CT1"),
        ("fetch", "CT1", "PULMONODE", "PULMONODE"),
    ],
)
def test_a_transfer_says_who_sent_what_of_whom_to_whom(
    name: str, source: str, destination: str, requestor: str
) -> None:
    root = parsed(MESSAGES[name][0])

    roles = {
        item.find("RoleIDCode").get("csd-code"): item.get("AlternativeUserID")
        for item in root.findall("ActiveParticipant")
    }
    assert roles == {"110153": f"AETITLE={source}", "110152": f"AETITLE={destination}"}
    asked = root.xpath("ActiveParticipant[@UserIsRequestor='true']/@AlternativeUserID")
    assert asked == [f"AETITLE={requestor}"]
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    assert study.get("ParticipantObjectID") == "1.2.3"
    transfer = OUT if name == "out" else IN
    counted = {
        item.get("UID"): int(item.get("NumberOfInstances")) for item in study.iter("SOPClass")
    }
    assert counted == dict(transfer.sop_classes)
    assert (
        patient.get("ParticipantObjectTypeCode"),
        patient.get("ParticipantObjectTypeCodeRole"),
    ) == ("1", "1")
    assert patient.get("ParticipantObjectID") == transfer.patient_id
    assert not patient.findtext("ParticipantObjectName")  # the ID suffices


def test_a_query_says_who_asked_whom_for_what() -> None:
    root = parsed(MESSAGES["query"][0])

    asked = {
        item.find("RoleIDCode").get("csd-code"): (
            item.get("AlternativeUserID"),
            item.get("UserIsRequestor"),
        )
        for item in root.findall("ActiveParticipant")
    }
    assert asked == {"110153": ("AETITLE=PULMONODE", "true"), "110152": ("AETITLE=PACS", "false")}
    (subject,) = root.findall("ParticipantObjectIdentification")
    assert subject.find("ParticipantObjectIDTypeCode").get("csd-code") == "110181"
    assert subject.get("ParticipantObjectID") == ASKED.sop_class_uid
    assert base64.b64decode(subject.findtext("ParticipantObjectQuery")) == ASKED.identifier
    detail = subject.find("ParticipantObjectDetail")
    assert detail.get("type") == "TransferSyntax"
    assert base64.b64decode(detail.get("value")).decode() == ASKED.transfer_syntax_uid


def test_a_refused_association_is_a_failure_and_says_why() -> None:
    root = parsed(MESSAGES["refused"][0])

    assert root.xpath("EventIdentification/@EventOutcomeIndicator") == ["4"]
    detail = root.find(".//ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"
    assert base64.b64decode(detail.get("value")) == b"AE title is not allowed"
    assert root.xpath("ActiveParticipant/@NetworkAccessPointID") == ["host", "10.6.6.6"]


def test_what_xml_cannot_hold_is_left_out_and_what_it_escapes_comes_back() -> None:
    message = events.user_authentication(
        ORIGIN, user="a<&>\"'\x00\x0b\ud800 王", address="", login=True, succeeded=False, at=AT
    )

    root = parsed(message)

    assert root.xpath("ActiveParticipant/@UserID")[0] == "a<&>\"' 王"


@pytest.mark.parametrize(("warning", "priority"), [(False, 85), (True, 84)])
def test_a_syslog_message_is_by_rfc_5424(warning: bool, priority: int) -> None:
    message, *_ = MESSAGES["out"]
    header = Header(host="my host", application="Pulmonode", process="17")

    data = frame(message.to_xml(), header, at=AT, warning=warning)

    head, mark, xml = data.partition(b"\xef\xbb\xbf")
    assert re.fullmatch(
        rf"<{priority}>1 2023-11-14T22:13:20\.250Z myhost Pulmonode 17 DICOM\+RFC3881 - ",
        head.decode("ascii"),
    )
    assert mark
    assert etree.fromstring(xml).tag == "AuditMessage"
    assert message.outcome is Outcome.SUCCESS
