"""What the shipped Grafana dashboard asks of Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.conftest import REPOSITORY

DASHBOARD = REPOSITORY / "deploy/grafana/pulmonode.json"
VARIABLES = {"$__rate_interval": "1m", "$destination": ".*"}


def load_dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def expressions() -> Iterator[str]:
    """Every expression, with Grafana's variables filled in."""
    for panel in load_dashboard()["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield text


def metrics_of(expression: str) -> set[str]:
    """Names of our figures in an expression, without a histogram's suffixes."""
    names = re.findall(r"\bpulmonode_[a-z_]+", re.sub(r'"[^"]*"', "", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
