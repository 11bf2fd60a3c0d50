"""DICOM over TLS with DCMTK and Orthanc, in both directions, and who is turned away."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from dicom_node.compose.ct import CtIdentity, slice_dataset
from dicom_node.deliver.peer import Peer, associated, echo
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import PeerUnreachable, TlsUnusable
from dicom_node.receive.limits import ReceiveLimits
from dicom_node.receive.scp import ScpSettings, StorageScp, TlsPort
from dicom_node.receive.spool import Spool
from dicom_node.tls import TlsClient, TlsFiles
from tests.integration.service import wait_for
from tests.integration.tls_peers import (
    Keys,
    calling,
    orthanc,
    storescp,
    storescu,
)
from tests.servers.authority import KeyPair

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.dcm"
    hu = np.zeros((32, 32), dtype=np.int16)
    ds = slice_dataset(hu, 0, 1, np.eye(4), CtIdentity(key="tls"))
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def scp(tmp_path: Path, keys: Keys) -> Iterator[StorageScp]:
    with listening(tmp_path, keys.ours, keys.hospital.file) as running:
        yield running


@contextmanager
def listening(folder: Path, own: KeyPair, callers: Path | None) -> Iterator[StorageScp]:
    scp = StorageScp(
        ScpSettings(
            ae_title="PULMONODE",
            host="127.0.0.1",
            port=0,
            calling_ae_titles=("any",),
            limits=ReceiveLimits(request_timeout_s=3),
            tls=TlsPort(
                port=0,
                files=TlsFiles(certificate=own.certificate, key=own.key, authorities=callers),
            ),
        ),
        Spool(folder / "spool"),
        on_stored=lambda _: None,
        on_commitment=lambda _: None,
    )
    scp.start()
    try:
        yield scp
    finally:
        scp.stop()


def peer(port: int, tls: TlsClient | None, host: str = "127.0.0.1") -> Peer:
    return Peer(
        ae_title="PULMONODE",
        host=host,
        port=port,
        connect_timeout_s=10,
        response_timeout_s=10,
        tls=tls,
    )


def in_inbox(scp: StorageScp) -> int:
    return len(scp._spool.inbox())


def test_dcmtk_stores_over_tls_with_its_certificate(
    scp: StorageScp, keys: Keys, image: Path
) -> None:
    done = storescu(
        scp.tls_port, image,
        "+tls", str(keys.pacs.key), str(keys.pacs.certificate), "+cf", str(keys.hospital.file),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert in_inbox(scp) == 1


def test_a_plain_association_is_refused_on_the_tls_port_and_tls_on_the_plain_one(
    scp: StorageScp, keys: Keys, image: Path
) -> None:
    plain = storescu(scp.tls_port, image)
    tls = storescu(
        scp.port, image,
        "+tls", str(keys.pacs.key), str(keys.pacs.certificate), "+cf", str(keys.hospital.file),
    )  # fmt: skip

    assert plain.returncode != 0
    assert tls.returncode != 0
    assert scp.counts["refused_tls"] == 1
    assert in_inbox(scp) == 0


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "an expired one"])
def test_a_caller_without_a_valid_certificate_is_refused(
    scp: StorageScp, keys: Keys, image: Path, whose: str
) -> None:
    if whose == "nobody's":
        done = storescu(scp.tls_port, image, "+tla", "+cf", str(keys.hospital.file))
    else:
        pair = (
            keys.stranger.issue("intruder")
            if whose == "a stranger's"
            else keys.hospital.issue("late", expired=True)
        )
        done = storescu(
            scp.tls_port, image,
            "+tls", str(pair.key), str(pair.certificate), "+cf", str(keys.hospital.file),
        )  # fmt: skip

    assert done.returncode != 0
    wait_for(lambda: scp.counts["refused_tls"], limit_s=10, message="the refusal is counted")
    assert in_inbox(scp) == 0


def test_callers_need_no_certificate_where_none_is_asked_for(tmp_path: Path, keys: Keys) -> None:
    with listening(tmp_path, keys.ours, None) as scp:
        echo(peer(scp.tls_port, calling(keys, None)), "PACS")

    assert scp.counts["echo"] == 1


def test_what_is_older_than_tls_1_2_is_refused(scp: StorageScp, keys: Keys) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(keys.hospital.file))
    for bound in ("minimum_version", "maximum_version"):
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            setattr(context, bound, ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")

    with (
        socket.create_connection(("127.0.0.1", scp.tls_port), 10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection, server_hostname="127.0.0.1")


def test_a_silent_tls_caller_holds_up_nobody(scp: StorageScp, keys: Keys) -> None:
    silent = [socket.create_connection(("127.0.0.1", scp.tls_port)) for _ in range(3)]
    began = time.monotonic()

    echo(peer(scp.tls_port, calling(keys, keys.pacs)), "PACS")

    assert time.monotonic() - began < 3, "it waited for those who say nothing"
    wait_for(
        lambda: scp.counts["refused_tls"] == 3, limit_s=20, message="silent ones are turned away"
    )
    for connection in silent:
        connection.close()


def test_a_certificate_that_was_replaced_counts_from_the_next_connection_on(
    tmp_path: Path, keys: Keys
) -> None:
    own = KeyPair(certificate=tmp_path / "own.crt", key=tmp_path / "own.key")
    shutil.copy(keys.ours.certificate, own.certificate)
    shutil.copy(keys.ours.key, own.key)
    caller = calling(keys, keys.pacs)

    with listening(tmp_path, own, keys.hospital.file) as scp, capture_logs() as logs:
        echo(peer(scp.tls_port, caller), "PACS")
        own.certificate.write_text("not a certificate")
        echo(peer(scp.tls_port, caller), "PACS")  # the one before stays
        expired = keys.hospital.issue("old", expired=True)
        shutil.copy(expired.key, own.key)
        shutil.copy(expired.certificate, own.certificate)
        with pytest.raises(PeerUnreachable):
            echo(peer(scp.tls_port, caller), "PACS")

    events = [line["event"] for line in logs]
    assert events.index("tls_files_unusable") < events.index("tls_files_read_again")


def test_results_go_to_a_peer_over_tls(tmp_path: Path, keys: Keys, image: Path) -> None:
    with storescp(tmp_path, keys.pacs, keys.hospital.file) as port:
        there = peer(port, calling(keys, keys.ours))
        objects = [read_outgoing(image)]
        with associated(there, "PULMONODE", storage_contexts(objects)) as assoc:
            receipts = list(store_all(assoc, there, objects))

    assert len(receipts) == 1
    assert [path.stat().st_size > 2000 for path in tmp_path.iterdir()] == [True]


@pytest.mark.parametrize("whose", ["a stranger's", "an expired one", "one of another host"])
def test_a_peer_that_is_not_who_it_should_be_gets_nothing(
    tmp_path: Path, keys: Keys, whose: str
) -> None:
    pair = {
        "a stranger's": lambda: keys.stranger.issue("other"),
        "an expired one": lambda: keys.hospital.issue("late pacs", expired=True),
        "one of another host": lambda: keys.hospital.issue("elsewhere", host="10.9.8.7"),
    }[whose]()

    with storescp(tmp_path, pair, keys.hospital.file) as port:
        with pytest.raises(PeerUnreachable):
            echo(peer(port, calling(keys, keys.ours)), "PULMONODE")
        if whose == "one of another host":
            echo(peer(port, calling(keys, keys.ours, check_host=False)), "PULMONODE")


def test_orthanc_and_we_store_over_tls_in_both_directions(
    tmp_path: Path, scp: StorageScp, keys: Keys, image: Path
) -> None:
    with orthanc(tmp_path, keys, scp.tls_port) as (dicom_port, http_port):
        there = Peer(
            ae_title="ORTHANC", host="127.0.0.1", port=dicom_port, tls=calling(keys, keys.ours)
        )
        objects = [read_outgoing(image)]
        with associated(there, "PULMONODE", storage_contexts(objects)) as assoc:
            assert len(list(store_all(assoc, there, objects))) == 1

        ask = HTTPConnection("127.0.0.1", http_port, timeout=60)
        ask.request("GET", "/instances")
        instances = json.loads(ask.getresponse().read())
        ask.request("POST", "/modalities/us/store", json.dumps(instances))
        answer = ask.getresponse()
        said = answer.read()
        ask.close()

    assert answer.status == 200, said
    assert len(instances) == 1
    assert in_inbox(scp) == 1


def _no_key(keys: Keys, folder: Path) -> TlsFiles:
    return TlsFiles(certificate=keys.ours.certificate, key=folder / "none.pem")


def _others_key(keys: Keys, folder: Path) -> TlsFiles:
    del folder
    return TlsFiles(certificate=keys.ours.certificate, key=keys.pacs.key)


@pytest.mark.parametrize(
    ("files", "why"), [(_no_key, "none.pem is not there"), (_others_key, "(?i)mismatch")]
)
def test_files_that_do_not_serve_are_said_at_the_start(
    tmp_path: Path, keys: Keys, files: Callable[[Keys, Path], TlsFiles], why: str
) -> None:
    unusable = TlsPort(port=0, files=files(keys, tmp_path))
    settings = ScpSettings(
        ae_title="PULMONODE", host="127.0.0.1", port=0, calling_ae_titles=("any",), tls=unusable
    )
    scp = StorageScp(
        settings, Spool(tmp_path / "spool"), on_stored=lambda _: None, on_commitment=lambda _: None
    )

    with pytest.raises(TlsUnusable, match=why):
        scp.start()
