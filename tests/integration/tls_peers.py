"""Peers that speak DICOM over TLS (DCMTK, Orthanc), and keys for them and us."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_node.tls import TlsClient, TlsFiles
from tests.conftest import missing, need_program
from tests.integration.service import free_port, wait_for
from tests.servers.authority import Authority, KeyPair


def dcmtk(name: str) -> str:
    """DCMTK's own: pynetdicom has programs of the same name beside Python."""
    folders = [
        item
        for item in os.environ.get("PATH", "").split(os.pathsep)
        if Path(item) not in {Path(sys.prefix) / "bin", Path(sys.executable).parent}
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        missing(f"DCMTK's {name}")
    return str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Of a hospital, and of somebody else."""

    hospital: Authority
    stranger: Authority
    ours: KeyPair
    pacs: KeyPair


def calling(keys: Keys, own: KeyPair | None, *, check_host: bool = True) -> TlsClient:
    files = TlsFiles(
        certificate=own and own.certificate,
        key=own and own.key,
        authorities=keys.hospital.file,
    )
    return TlsClient(files=files, check_host=check_host)


def storescu(port: int, image: Path, *tls: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            dcmtk("storescu"),
            "-to",
            "10",
            "-aec",
            "PULMONODE",
            *tls,
            "127.0.0.1",
            str(port),
            str(image),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def storescp(folder: Path, own: KeyPair, callers: Path) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [dcmtk("storescp"), "-aet", "PACS", "-od", str(folder), "+tls", str(own.key),
         str(own.certificate), "+cf", str(callers), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(up, limit_s=20, message="storescp listens")
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def orthanc(
    folder: Path, keys: Keys, our_port: int, our_title: str = "PULMONODE"
) -> Iterator[tuple[int, int]]:
    """Its DICOM port with TLS, and its HTTP port; it knows us by that port and title."""
    program = need_program("Orthanc")
    dicom_port, http_port = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "HttpPort": http_port,
        "AuthenticationEnabled": False,
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(keys.pacs.certificate),
        "DicomTlsPrivateKey": str(keys.pacs.key),
        "DicomTlsTrustedCertificates": str(keys.hospital.file),
        "DicomModalities": {
            "us": {"AET": our_title, "Host": "127.0.0.1", "Port": our_port, "UseDicomTls": True}
        },
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )

    def up() -> bool:
        assert process.poll() is None, (folder / "orthanc.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", http_port)) == 0

    try:
        wait_for(up, limit_s=60, message="Orthanc answers")
        yield dicom_port, http_port
    finally:
        process.terminate()
        process.wait(timeout=30)
