"""A real Prometheus (Debian's package) that scrapes a service often."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, need_program
from tests.servers.process import ServerProcess

RULES = REPOSITORY / "deploy/prometheus/pulmonode.rules.yml"


def hurried_rules(text: str) -> str:
    """The shipped rules with every minute made a second: "15m" and "15 * 60" become 15 s."""
    return re.sub(r"(?<=\d)m\b", "s", text.replace(" * 60", " * 1"))


class PrometheusServer(ServerProcess):
    """Prometheus with the shipped rules, hurried, and these targets of the job `pulmonode`."""

    name = "prometheus"

    def __init__(self, folder: Path, port: int, targets: Sequence[int]) -> None:
        self.program = need_program("prometheus")
        super().__init__(port, "127.0.0.1", (), folder)
        rules = self.home / "pulmonode.rules.yml"
        rules.write_text(hurried_rules(RULES.read_text()))
        addresses = ", ".join(f"'127.0.0.1:{target}'" for target in targets)
        (self.home / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{rules}']\n"
            "scrape_configs:\n"
            "  - job_name: pulmonode\n"
            f"    static_configs: [{{targets: [{addresses}]}}]\n"
        )

    def command(self) -> list[str]:
        return [
            self.program,
            f"--config.file={self.home / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.home / 'data'}",
            f"--web.listen-address={self.host}:{self.port}",
            "--log.level=warn",
        ]

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer of its HTTP API."""
        url = f"http://{self.host}:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.get("query", query=expression)["result"])

    def firing(self) -> list[dict[str, str]]:
        """The labels of every alert that fires now."""
        alerts = self.get("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]
