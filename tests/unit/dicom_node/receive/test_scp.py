"""The SCP over real sockets, called by pynetdicom; DCMTK and Orthanc call it elsewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, build_context, build_role
from pynetdicom.sop_class import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.errors import NobodyAllowed, PeerUnreachable
from dicom_node.receive.commitment import CommitmentReport
from dicom_node.receive.scp import StorageScp
from dicom_node.receive.spool import Spool
from tests.unit.dicom_node.receive.received import Received

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
PRIVATE_SOP_CLASS = "1.2.826.0.1.3680043.2.1143.107.104.103.115"


def peer_of(scp: StorageScp, called: str = "PULMONODE") -> Peer:
    return Peer(
        ae_title=called, host="127.0.0.1", port=scp.port, connect_timeout_s=5, response_timeout_s=5
    )


def instance(sop_class: str, uid: str, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid
    ds.PatientID = "P1"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def test_an_allowed_caller_is_echoed(start: Callable[..., StorageScp]) -> None:
    scp = start()

    echo(peer_of(scp), "PACS")

    assert scp.counts["echo"] == 1


@pytest.mark.parametrize(
    ("calling", "called", "why"), [("STRANGER", "PULMONODE", "calling"), ("PACS", "X", "called")]
)
def test_a_wrong_calling_or_called_ae_title_is_rejected_and_counted(
    start: Callable[..., StorageScp], calling: str, called: str, why: str
) -> None:
    scp = start()

    with pytest.raises(PeerUnreachable, match=rf"(?i)rejected.*{why}"):
        echo(peer_of(scp, called), calling)

    assert scp.counts["rejected"] == 1


def test_the_word_any_lets_everyone_in(start: Callable[..., StorageScp]) -> None:
    echo(peer_of(start(calling=("any",))), "WHOEVER")


def test_without_an_allowed_caller_it_does_not_start(start: Callable[..., StorageScp]) -> None:
    with pytest.raises(NobodyAllowed, match="PULMONODE_CALLING_AE_TITLES"):
        start(calling=())


@pytest.mark.parametrize(
    ("sop_class", "syntax"),
    [
        (CTImageStorage, ExplicitVRLittleEndian),
        (CTImageStorage, JPEG2000Lossless),
        (EncapsulatedPDFStorage, ExplicitVRLittleEndian),
        (LABEL_MAP_SEGMENTATION_STORAGE, ExplicitVRLittleEndian),
        (PRIVATE_SOP_CLASS, ExplicitVRLittleEndian),
    ],
)
def test_any_storage_class_in_any_syntax_is_stored_as_sent(
    start: Callable[..., StorageScp], tmp_path: Path, sop_class: str, syntax: str
) -> None:
    scp = start()
    ds = instance(sop_class, "1.2.3", syntax)

    with associated(peer_of(scp), "PACS", [build_context(sop_class, [syntax])]) as assoc:
        assert assoc.send_c_store(ds).Status == 0x0000

    stored = dcmread(Spool(tmp_path / "spool").inbox()[0])
    assert stored.PatientID == "P1"
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored.file_meta.MediaStorageSOPClassUID == sop_class
    assert stored.file_meta.SourceApplicationEntityTitle == "PACS"
    assert stored.file_meta.ReceivingApplicationEntityTitle == "PULMONODE"


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # it is what the test is about
def test_a_uid_that_is_no_uid_is_refused_and_the_association_lives_on(
    start: Callable[..., StorageScp], tmp_path: Path
) -> None:
    scp = start()

    with associated(peer_of(scp), "PACS", [build_context(CTImageStorage)]) as assoc:
        bad = assoc.send_c_store(instance(CTImageStorage, "1.2..3"))
        good = assoc.send_c_store(instance(CTImageStorage, "1.2.3"))

    assert (bad.Status, good.Status) == (0xC000, 0x0000)
    assert len(Spool(tmp_path / "spool").inbox()) == 1


def test_under_the_disk_reserve_associations_are_refused_as_transient(
    start: Callable[..., StorageScp],
) -> None:
    scp = start(reserve_bytes=10**18)

    with pytest.raises(PeerUnreachable, match=r"(?i)local limit exceeded"):
        echo(peer_of(scp), "PACS")

    assert scp.counts["refused_disk"] == 1


def test_a_disk_that_fills_during_an_association_answers_out_of_resources(
    start: Callable[..., StorageScp],
) -> None:
    scp = start()

    with associated(peer_of(scp), "PACS", [build_context(CTImageStorage)]) as assoc:
        scp._spool.reserve_bytes = 10**18
        status = assoc.send_c_store(instance(CTImageStorage, "1.2.3")).Status

    assert status == 0xA700


def test_instances_before_an_abort_are_kept(
    start: Callable[..., StorageScp], tmp_path: Path
) -> None:
    scp = start()

    with associated(peer_of(scp), "PACS", [build_context(CTImageStorage)]) as assoc:
        assoc.send_c_store(instance(CTImageStorage, "1.2.3"))
        assoc.abort()

    assert len(Spool(tmp_path / "spool").inbox()) == 1
    echo(peer_of(scp), "PACS")


def test_tcp_probes_and_half_open_associations_cost_nothing(
    start: Callable[..., StorageScp],
) -> None:
    scp = start(maximum_associations=4)

    for _ in range(50):
        socket.create_connection(("127.0.0.1", scp.port)).close()
    silent = [socket.create_connection(("127.0.0.1", scp.port)) for _ in range(3)]
    echo(peer_of(scp), "PACS")
    for connection in silent:
        connection.close()

    assert scp.counts["echo"] == 1


def test_a_commitment_report_on_a_new_association_is_handed_on(
    start: Callable[..., StorageScp], received: Received
) -> None:
    scp = start()
    report = Dataset()
    report.TransactionUID = "2.25.7"
    good, bad = Dataset(), Dataset()
    for item, uid in ((good, "1.2.3"), (bad, "1.2.4")):
        item.ReferencedSOPClassUID = CTImageStorage
        item.ReferencedSOPInstanceUID = uid
    bad.FailureReason = 0x0112
    report.ReferencedSOPSequence = [good]
    report.FailedSOPSequence = [bad]
    contexts = [build_context(StorageCommitmentPushModel)]
    role = build_role(StorageCommitmentPushModel, scp_role=True)

    with associated(peer_of(scp), "PACS", contexts, extended=[role]) as assoc:
        status, _ = assoc.send_n_event_report(
            report, 2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )

    assert status.Status == 0x0000
    assert received.reports == [
        CommitmentReport(
            transaction_uid="2.25.7",
            committed=("1.2.3",),
            failed=(("1.2.4", "no such object instance (0x0112)"),),
            peer_ae_title="PACS",
        )
    ]


def test_a_full_house_rejects_and_recovers(start: Callable[..., StorageScp]) -> None:
    scp = start(maximum_associations=1)
    ae = AE("PACS")
    ae.add_requested_context(Verification)
    first = ae.associate("127.0.0.1", scp.port, ae_title="PULMONODE")
    try:
        with pytest.raises(PeerUnreachable, match=r"(?i)local limit"):
            echo(peer_of(scp), "PACS")
    finally:
        first.release()
    deadline = time.monotonic() + 5
    while True:
        try:
            echo(peer_of(scp), "PACS")
            break
        except PeerUnreachable:
            assert time.monotonic() < deadline
