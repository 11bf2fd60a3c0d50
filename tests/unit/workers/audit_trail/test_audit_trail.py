from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from lxml import etree
from pydicom import dcmread

from dicom_node.audit.message import AuditMessage
from dicom_node.deliver.peer import Peer
from dicom_node.errors import AuditNotSent, PeerUnreachable
from dicom_node.mini_pacs import MiniPacs
from dicom_node.query.prior import find_prior_series
from dicom_node.query.series import find_series_instance_count
from dicom_node.query.study import find_study_identity
from dicom_node.read.header import Identity
from tests.integration.bad_series import plain_series
from tests.integration.service import free_port, wait_for
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.rsyslog import RsyslogServer
from tests.unit.workers.rows import receive, set_state, with_settings
from workers.application import Application, open_application
from workers.audit_trail import forward
from workers.audit_trail.follow import follow
from workers.audit_trail.forward import Forwarder, open_line
from workers.audit_trail.spool import AuditSpool
from workers.audit_trail.trail import (
    fetch_from,
    tell_activity,
    tell_asked,
    tell_audit_read,
    tell_refused,
    told_transfer,
)
from workers.monitoring_settings import AuditSettings
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.state.schema import JobState
from workers.usecases.audit import Actor, How, Outcome, record_alone


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def repository(certificates: Certificates, port: int) -> AuditSettings:
    return AuditSettings(
        host="127.0.0.1",
        port=port,
        ca_file=certificates.authority,
        certificate_file=certificates.client,
        key_file=certificates.client_key,
        site="Ward",
    )


@pytest.fixture
def audited(settings: Settings, certificates: Certificates) -> Settings:
    return with_settings(settings, dicom_audit=repository(certificates, free_port()))


@pytest.fixture
def audited_app(audited: Settings) -> Iterator[Application]:
    app = open_application(audited, migrate=True)
    yield app
    app.database.close()


@pytest.fixture
def rsyslog(
    tmp_path: Path, audited: Settings, certificates: Certificates
) -> Iterator[RsyslogServer]:
    assert audited.dicom_audit is not None
    server = RsyslogServer(tmp_path, audited.dicom_audit.port, certificates)
    yield server
    server.close()


def kept(settings: Settings) -> list[etree._Element]:
    return [
        etree.fromstring(item.path.read_bytes()) for item in AuditSpool(settings.data_dir).waiting()
    ]


def events_of(settings: Settings) -> list[str]:
    return [root.find("EventIdentification/EventID").get("csd-code") for root in kept(settings)]


def test_nothing_is_kept_unless_it_is_wanted(settings: Settings) -> None:
    tell_activity(settings, starts=True)
    tell_refused(settings, "EVIL", "10.0.0.1", "not allowed")

    assert not kept(settings)


def test_a_series_that_comes_in_is_told_when_it_begins_and_when_it_is_here(
    audited_app: Application, tmp_path: Path
) -> None:
    follow(audited_app)  # what was before is not told
    series = plain_series("audit", slices=3)
    for ds in series:
        ds.PatientID, ds.PatientName = "ID-7", "Planted^Name"
    receive(audited_app, tmp_path, *series)
    follow(audited_app)
    follow(audited_app)
    assert events_of(audited_app.settings) == ["110102"]

    set_state(audited_app, str(series[0].SeriesInstanceUID), JobState.COMPLETE, JobState.QUEUED)
    follow(audited_app)

    assert events_of(audited_app.settings) == ["110102", "110104"]
    last = kept(audited_app.settings)[-1]
    assert last.xpath("//SOPClass/@NumberOfInstances") == ["3"]
    patient = last.xpath("//ParticipantObjectIdentification[@ParticipantObjectTypeCode='1']")[0]
    assert patient.get("ParticipantObjectID") == "ID-7"
    assert b"Planted" not in etree.tostring(last)


def test_users_of_the_console_are_told(audited_app: Application) -> None:
    follow(audited_app)
    anna = Actor(name="anna", role=Role.ADMIN, how=How.BROWSER, address="10.1.2.3")
    record_alone(audited_app, anna, "sign_in", outcome=Outcome.REFUSED)
    record_alone(audited_app, anna, "sign_in")
    record_alone(audited_app, anna, "job.retry", job_id=3)
    tell_audit_read(audited_app.settings, "anna", "10.1.2.3")
    record_alone(audited_app, anna, "sign_out")
    follow(audited_app)

    assert events_of(audited_app.settings) == ["110101", "110114", "110114", "110114"]
    outcomes = [
        root.find("EventIdentification").get("EventOutcomeIndicator")
        for root in kept(audited_app.settings)
    ]
    assert outcomes == ["0", "4", "0", "0"]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    running = MiniPacs(folder=tmp_path / "pacs")
    running.start()
    yield running
    running.stop()


def test_queries_are_told_with_their_keys_and_how_they_ended(
    audited_app: Application, pacs: MiniPacs
) -> None:
    peer = Peer(ae_title="MINIPACS", host="127.0.0.1", port=pacs.port, connect_timeout_s=2)
    on_asked = partial(tell_asked, audited_app.settings)
    identity = Identity(patient_id="ID-7", patient_name="Planted^Name", study_date="20260101")

    find_prior_series(peer, "PULMONODE", identity, on_asked)
    find_study_identity(peer, "PULMONODE", study_uid="1.2", on_asked=on_asked)
    pacs.stop()
    with pytest.raises(PeerUnreachable):
        find_series_instance_count(
            peer, "PULMONODE", study_uid="1.2", series_uid="1.2.3", on_asked=on_asked
        )

    assert events_of(audited_app.settings) == ["110112"] * 3
    asked, outcomes = [], []
    for root in kept(audited_app.settings):
        encoded = base64.b64decode(root.findtext(".//ParticipantObjectQuery"))
        keys = dcmread(BytesIO(encoded), force=True)
        asked.append((keys.QueryRetrieveLevel, keys.get("PatientID"), keys.get("PatientName")))
        outcomes.append(root.find("EventIdentification").get("EventOutcomeIndicator"))
    assert asked == [("STUDY", "ID-7", None), ("STUDY", "", ""), ("SERIES", None, None)]
    assert outcomes == ["0", "0", "8"]


def test_a_fetch_of_an_earlier_ct_is_told_as_ours(audited_app: Application) -> None:
    peer = Peer(ae_title="PACS", host="10.0.0.5", port=104)
    moved = fetch_from(peer, Identity(patient_id="ID-7"), "1.2", 64)

    with pytest.raises(OSError, match="full"), told_transfer(audited_app.settings, moved):
        raise OSError("full")

    begun, ended = kept(audited_app.settings)
    for root, event, outcome in ((begun, "110102", "0"), (ended, "110104", "8")):
        assert root.find("EventIdentification/EventID").get("csd-code") == event
        assert root.find("EventIdentification").get("EventOutcomeIndicator") == outcome
        we = root.xpath("ActiveParticipant[@UserIsRequestor='true']")[0]
        assert we.get("AlternativeUserID") == "AETITLE=PULMONODE"
        assert we.find("RoleIDCode").get("csd-code") == "110152"  # destination


@pytest.mark.peer
def test_rsyslog_gets_every_message_through_tls_in_order_though_it_was_away(
    audited: Settings, rsyslog: RsyslogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "SETTLED_S", 0.3)
    monkeypatch.setattr(forward, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(forward, "LOOK_S", 0.05)
    forwarder = Forwarder(audited)
    tell_activity(audited, starts=True)
    forwarder.look()
    assert len(AuditSpool(audited.data_dir).waiting()) == 1  # nobody there: it waits

    rsyslog.start()
    forwarder.start()
    tell_refused(audited, "EVIL", "10.0.0.1", "not allowed")
    wait_for(lambda: len(rsyslog.messages()) >= 2, limit_s=30, message="both arrive")
    wait_for(
        lambda: not AuditSpool(audited.data_dir).waiting(), limit_s=10, message="both are settled"
    )
    rsyslog.kill()
    for number in range(5):
        tell_refused(audited, f"EVIL{number}", "10.0.0.1", "not allowed")
    rsyslog.start()
    wait_for(lambda: len(rsyslog.messages()) >= 7, limit_s=30, message="all arrive")
    forwarder.stop()

    found = rsyslog.messages()
    xml = [etree.fromstring(line.split("\ufeff", 1)[1].encode()) for line in found]
    alerts = [
        root.xpath("string(//ParticipantObjectIdentification/@ParticipantObjectID)") for root in xml
    ]
    assert list(dict.fromkeys(alerts)) == ["", "EVIL", *(f"EVIL{number}" for number in range(5))]
    assert found[0].startswith("<85>1 ")
    assert found[1].startswith("<84>1 ")


@pytest.mark.peer
def test_a_repository_that_wants_a_certificate_hears_nothing_from_whoever_has_none(
    audited: Settings, rsyslog: RsyslogServer
) -> None:
    rsyslog.start()
    assert audited.dicom_audit is not None
    without = audited.dicom_audit.model_copy(update={"certificate_file": None, "key_file": None})
    settings = with_settings(audited, dicom_audit=without)
    tell_activity(settings, starts=True)
    forwarder = Forwarder(settings)
    for _ in range(20):
        forwarder.look()

    assert not rsyslog.messages()
    assert len(AuditSpool(settings.data_dir).waiting()) == 1


@pytest.mark.peer
def test_a_repository_whom_nobody_vouches_for_is_told_nothing(
    audited: Settings, rsyslog: RsyslogServer
) -> None:
    rsyslog.start()
    assert audited.dicom_audit is not None

    with pytest.raises(AuditNotSent, match=r"certificate|SSL"):
        open_line(audited.dicom_audit.model_copy(update={"ca_file": None}))


def test_a_message_goes_out_as_one_datagram(settings: Settings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        target = AuditSettings(host="127.0.0.1", port=receiver.getsockname()[1], transport="udp")
        changed = with_settings(settings, dicom_audit=target)
        tell_activity(changed, starts=True)
        Forwarder(changed).look()

        data = receiver.recv(65536)

    assert data.startswith(b"<85>1 ")
    assert b"\xef\xbb\xbf<AuditMessage>" in data


def test_what_the_disk_does_not_take_is_said_and_stops_nothing(
    audited: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: AuditSpool, _message: AuditMessage) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AuditSpool, "put", full)

    tell_activity(audited, starts=True)
