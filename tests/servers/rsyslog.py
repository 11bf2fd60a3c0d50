"""A real rsyslog (Debian's package) that takes syslog over TLS, from clients with a certificate."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import missing, need_program
from tests.servers.certificates import Certificates
from tests.servers.process import ServerProcess

DRIVER = Path("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_ossl.so")


class RsyslogServer(ServerProcess):
    """rsyslog; every message is a line of `written`."""

    name = "rsyslog"

    def __init__(self, folder: Path, port: int, certificates: Certificates) -> None:
        self.program = need_program("rsyslogd")
        if not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")):
            missing("rsyslog-openssl")
        super().__init__(port, "127.0.0.1", (), folder)
        self.written = self.home / "messages"
        (self.home / "rsyslog.conf").write_text(
            "global(\n"
            f'  workDirectory="{self.home}" maxMessageSize="64k" defaultNetstreamDriver="ossl"\n'
            f'  defaultNetstreamDriverCAFile="{certificates.authority}"\n'
            f'  defaultNetstreamDriverCertFile="{certificates.server}"\n'
            f'  defaultNetstreamDriverKeyFile="{certificates.server_key}"\n'
            '  parser.escapeControlCharactersOnReceive="off"\n'
            ")\n"
            'module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1"\n'
            '       streamDriver.authMode="x509/certvalid")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{port}")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'action(type="omfile" file="{self.written}" template="raw" asyncWriting="off"\n'
            '       flushOnTXEnd="on")\n'
        )

    def command(self) -> list[str]:
        return [
            self.program, "-n",
            "-f", str(self.home / "rsyslog.conf"),
            "-i", str(self.home / "pid"),
        ]  # fmt: skip

    def messages(self) -> list[str]:
        """What arrived, in order; what rsyslog says of itself left out."""
        if not self.written.exists():
            return []
        lines = self.written.read_text().splitlines()
        return [line for line in lines if re.match(r"<8[45]>1 \S+ \S+ Pulmonode ", line)]
