"""A certificate authority of the test's own, with a server's and a client's certificate."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need_program


@dataclass(frozen=True)
class Certificates:
    """PEM files; the server's names are localhost and 127.0.0.1."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.folder / "server.key"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"


def make_certificates(folder: Path) -> Certificates:
    """Make them with openssl, valid for a day."""
    made = Certificates(folder)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        "req", "-x509", *curve, "-days", "1", "-subj", "/CN=Test authority",
        "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign",
        "-keyout", str(folder / "ca.key"), "-out", str(made.authority),
    )  # fmt: skip
    for name, uses in (("server", "serverAuth"), ("client", "clientAuth")):
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        extensions.write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
            f"extendedKeyUsage={uses}\nbasicConstraints=CA:FALSE\n"
        )
        _openssl(
            "req", *curve, "-subj", f"/CN={name}",
            "-keyout", str(folder / f"{name}.key"), "-out", str(request),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", str(request), "-days", "1", "-extfile", str(extensions),
            "-CA", str(made.authority), "-CAkey", str(folder / "ca.key"), "-CAcreateserial",
            "-out", str(folder / f"{name}.pem"),
        )  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        [need_program("openssl"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
