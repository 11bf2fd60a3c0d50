from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY
from workers.metrics.catalogue import METRICS, tables
from workers.metrics.metric import Metric
from workers.state import alarms

UNITS = (
    "_results",
    "_mean",
    "_drift",
    "_seconds",
    "_bytes",
    "_total",
    "_info",
    "_timestamp_seconds",
)
COUNTED = (
    "_instances", "_jobs", "_paused", "_open", "_deliveries", "_retrying", "_processes", "_alarms",
    "_messages",
    "_workers", "_up",
)  # fmt: skip
"""Gauges that count things, and so have no unit."""


def test_the_document_holds_the_table_of_the_code() -> None:
    text = (REPOSITORY / "docs/metrics.md").read_text()

    assert tables() in text


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"pulmonode_[a-z][a-z_]*", metric.name)
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert metric.name.endswith(UNITS + COUNTED)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in metric.labels)
    assert bool(metric.buckets) is (metric.kind == "histogram")


def test_no_label_is_of_a_patient_a_job_or_an_object() -> None:
    labels = {label for metric in METRICS.values() for label in metric.labels}

    assert not {label for label in labels if re.search("patient|uid|job|series|study|peer", label)}


def test_every_code_of_an_alarm_is_counted() -> None:
    codes = {value for name, value in vars(alarms).items() if name.isupper() and name != "CODES"}

    assert codes == set(alarms.CODES)
