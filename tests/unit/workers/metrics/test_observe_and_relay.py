from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest

from tests.integration.service import wait_for
from workers.metrics import observe
from workers.metrics.registry import LABEL_VALUES_AT_MOST, OwnFigures
from workers.metrics.relay import Relay


@pytest.fixture
def figures() -> Iterator[OwnFigures]:
    yield OwnFigures("worker")
    observe.listen(None)


def read(figures: OwnFigures, name: str, **labels: str) -> float | None:
    return figures.registry.get_sample_value(name, labels)


def test_nothing_happens_where_nobody_counts() -> None:
    observe.note("pulmonode_retries_total", queue="analyse")


def test_a_forked_process_is_counted_by_its_parent(figures: OwnFigures) -> None:
    relay = Relay(figures.apply)
    observe.listen(relay.send)
    child = os.fork()
    if child == 0:
        observe.note("pulmonode_retries_total", 3, queue="analyse")
        os._exit(0)
    os.waitpid(child, 0)
    wait_for(
        lambda: read(figures, "pulmonode_retries_total", queue="analyse") == 3,
        limit_s=5,
        message="the child's observation is counted",
    )
    observe.listen(None)
    relay.close()


def test_an_observation_is_dropped_rather_than_waited_for(figures: OwnFigures) -> None:
    relay = Relay(figures.apply)
    relay.close()

    relay.send("pulmonode_retries_total", 1, {"queue": "analyse"})


def test_a_label_of_too_many_values_is_not_counted(figures: OwnFigures) -> None:
    for number in range(LABEL_VALUES_AT_MOST + 7):
        figures.apply("pulmonode_analysis_stage_seconds", 1.0, {"stage": f"stage{number}"})

    text = generate_latest(figures.registry).decode()

    assert text.count("pulmonode_analysis_stage_seconds_count{") == LABEL_VALUES_AT_MOST
    assert read(figures, "pulmonode_unknown_observations_total") == 7


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("pulmonode_no_such_figure_total", {}),
        ("pulmonode_retries_total", {}),
        ("pulmonode_retries_total", {"queue": "analyse", "patient": "Doe"}),
        ("pulmonode_received_bytes_total", {}),  # the node's
    ],
)
def test_what_is_not_in_the_catalogue_is_not_counted(
    figures: OwnFigures, name: str, labels: dict[str, str]
) -> None:
    figures.apply(name, 1.0, labels)

    assert read(figures, "pulmonode_unknown_observations_total") == 1


def test_counters_of_a_destination_stand_at_zero_before_anything_happens(
    figures: OwnFigures,
) -> None:
    figures.expect_destinations(["main"])

    found = read(figures, "pulmonode_commitments_total", destination="main", outcome="refused")
    assert found == 0
