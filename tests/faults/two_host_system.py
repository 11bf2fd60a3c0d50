"""Node and worker on two hosts: each role started alone, nothing in common but three URLs.

On the host "node": PostgreSQL, Redis, the object store, `pulmonode node` and the recording
PACS. On the host "worker": both kinds of workers, with a data folder of their own; the node's
folder cannot be seen there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError
from dicom_node.mini_pacs import MiniPacs
from tests.faults.plan import FaultPlan
from tests.faults.system import BUCKET, FAST, Sending, System
from tests.integration.service import START_LIMIT_S, Service, wait_for
from tests.servers.postgresql import PostgresServer
from tests.servers.redis_server import RedisServer
from tests.servers.s3 import S3Server
from tests.servers.two_hosts import NETWORK, NODE_ADDRESS, Host, TwoHosts

TWO_HOSTS = "two hosts"
PULMONODE = [sys.executable, "-m", "workers.cli.main"]
NODE = ("node",)
ANALYSE = ("worker", "--queues", "analyse")
DELIVER = ("worker", "--queues", "deliver,maintain", "--concurrency", "4")
DICOM_PORT = 11112
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'
"""Only for the process that says so and its children: `ip netns exec` gives each its mounts."""
STOP_LIMIT_S = 30.0


class TwoHostSystem(System):
    """As `System`, with its roles apart; the cable is broken by `hosts`."""

    def __init__(self, folder: Path, hosts: TwoHosts) -> None:
        self.kind = TWO_HOSTS
        self.folder = folder
        self.hosts = hosts
        self.plan = FaultPlan(folder / "faults")
        self.disk = None
        self.roles: dict[str, subprocess.Popen[bytes]] = {}
        on_node = hosts.prefix("node")
        self.database: PostgresServer = PostgresServer(
            folder, 5432, listen=NODE_ADDRESS, client_network=NETWORK, prefix=on_node
        )
        self.broker: RedisServer = RedisServer(folder, 6379, NODE_ADDRESS, prefix=on_node)
        self.store: S3Server = S3Server(5000, NODE_ADDRESS, prefix=on_node)
        self.recorder = MiniPacs(
            folder=folder / "pacs",
            ae_title="RECORDER",
            host=NODE_ADDRESS,
            port=11113,
            commitment_peer=Peer(ae_title="PULMONODE", host=NODE_ADDRESS, port=DICOM_PORT),
        )
        self.service = self._make_service()

    def _make_service(self) -> Service:
        """The settings of the site, and a look at the database by its socket from here."""
        destination = {
            "name": "recorder",
            "ae_title": self.recorder.ae_title,
            "host": NODE_ADDRESS,
            "port": self.recorder.port,
            "connect_timeout_s": 3,
            "response_timeout_s": 6,
        }
        socket = f"postgresql+psycopg://pulmonode@/pulmonode?host={self.database.home}"
        return Service(
            folder=self.folder,
            destinations=[destination],
            environment={**FAST, **self.plan.environment, "PULMONODE_STATE_URL": socket},
            port=DICOM_PORT,
        )

    def worker_variables(self, data: Path) -> dict[str, str]:
        """Environment of a worker: the three URLs, the store's keys, a folder of its own."""
        ours = {name: value for name, value in os.environ.items() if "PULMONODE" not in name}
        return {
            **ours,
            **self.plan.environment,
            **self.store.environment,
            "PULMONODE_DATA_DIR": str(data),
            "PULMONODE_STATE_URL": self.database.url_at(NODE_ADDRESS),
            "PULMONODE_BROKER_URL": self.broker.url,
            "PULMONODE_STORE_URL": self.store.url(BUCKET),
        }

    def node_variables(self) -> dict[str, str]:
        """Environment of the node: the site's settings as well."""
        return {
            **self.service.variables,
            **self.worker_variables(self.data("node")),
            "PULMONODE_HOST": "0.0.0.0",  # noqa: S104 - both addresses of the namespace
        }

    def data(self, host: Host) -> Path:
        return self.folder / host / "data"

    def start(self) -> None:
        for server in (self.database, self.broker, self.store):
            server.start()
        self.store.make_bucket(BUCKET)
        with self.hosts.inside("node"):
            self.recorder.start()
        migrated = subprocess.run(
            [*self.hosts.prefix("node"), *PULMONODE, "migrate"],
            env=self.node_variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        self.start_role("node", NODE)
        wait_for(self._answers, limit_s=START_LIMIT_S, message="the node answers C-ECHO")
        self.start_role("worker", ANALYSE)
        self.start_role("worker", DELIVER)

    def start_role(self, host: Host, arguments: Sequence[str]) -> None:
        """Start one role on a host; a worker gets a folder of its own wherever it runs."""
        name = f"{host}-{'-'.join(arguments[::2])}"
        command, environment = [*PULMONODE, *arguments], self.node_variables()
        if arguments != NODE:
            command = ["sh", "-c", HIDE, str(self.data("node")), *command]
            folder = self.folder / ("worker" if host == "worker" else "worker beside the node")
            environment = self.worker_variables(folder / "data")
        with (self.folder / f"{name}.log").open("ab") as log:
            self.roles[name] = self.hosts.run(
                host, command, env=environment, stdout=log, stdin=subprocess.DEVNULL
            )

    def _answers(self) -> bool:
        (node,) = self.roles.values()
        assert node.poll() is None, self.logs()
        with self.hosts.inside("node"), contextlib.suppress(DicomNodeError):
            echo(self.service.peer, "TESTER")
            return True
        return False

    def stop(self) -> None:
        for role in self.roles.values():
            if role.poll() is None:
                role.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        for role in self.roles.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                role.wait(timeout=max(0.1, deadline - time.monotonic()))
        self.recorder.stop()
        for server in (self.database, self.broker, self.store):
            server.close()
        for host in ("node", "worker"):
            self.hosts.power_off(host)
        for role in self.roles.values():
            role.wait()
        shutil.rmtree(self.folder / "node", ignore_errors=True)

    def mend(self) -> None:
        """Let every process go on; the cable is each case's own affair."""
        self.plan.clear()

    def send(self, paths: Sequence[Path]) -> Sending:
        with self.hosts.inside("node"):
            return super().send(paths)

    def read_object(self, key: str) -> bytes | None:
        with self.hosts.inside("node"):
            return super().read_object(key)

    def tokens(self) -> dict[str, list[int]]:
        """Fencing tokens of jobs, deliveries and results: how often each was taken."""
        return {
            table: [token for (token,) in self.database.query(f"SELECT fencing_token FROM {table}")]  # noqa: S608
            for table in ("job", "delivery", "result")
        }

    def log_lines(self, event: str) -> list[dict[str, object]]:
        """Lines of the workers' and node's logs about an event."""
        lines = []
        for path in sorted(self.folder.glob("*-*.log")):
            for line in path.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict) and found.get("event") == event:
                        lines.append({"role": path.stem, **found})
        return lines

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-5000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )
