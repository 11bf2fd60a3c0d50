"""The node's loops: what fails in one of them delays nothing but itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.bad_series import plain_series
from tests.migrated import migrated_application
from tests.unit.workers.rows import alarms, change, receive, with_settings
from workers import node as module
from workers.application import Application
from workers.errors import IllegalTransition, StoreUnavailable
from workers.node import Node
from workers.settings import Settings
from workers.state.schema import Instance

PATIENCE_S = 20.0


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    changed = with_settings(settings, tick_s=0.02, outage_alarm_s=0)
    opened = migrated_application(changed)
    yield opened
    opened.database.close()


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("error", "alarm"),
    [
        (LookupError("nobody foresaw this"), ("node_loop_fails", "index")),
        (IllegalTransition(1, "cancelled", "receiving"), ("node_loop_fails", "index")),
        (OSError(24, "Too many open files"), ("node_loop_fails", "index")),
        (StoreUnavailable("instances/1", "PermissionError"), ("store_unreachable", "store")),
    ],
    ids=["unforeseen", "our own", "of the system", "of the store"],
)
def test_a_loop_that_fails_goes_on_in_view_and_receiving_with_it(
    app: Application,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    alarm: tuple[str, str],
) -> None:
    faults = [error]

    def index_inbox(_app: Application) -> int:
        if faults:
            raise faults[0]
        return 0

    monkeypatch.setattr(module, "index_inbox", index_inbox)
    node = Node(app, lambda _hints: None)
    node.start()
    try:
        assert until(lambda: alarms(app) == [alarm])
        assert node.is_alive()
        assert node.scp.port > 0
        faults.clear()
        assert until(lambda: alarms(app) == [])
        assert node.is_alive()
    finally:
        node.stop()


def test_a_probe_that_fails_as_nobody_foresaw_ends_no_loop(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    node = Node(app, lambda _hints: None)

    def look() -> None:
        looks.append(time.monotonic())
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(node._watch, "look", look)
    node.start()
    try:
        assert until(lambda: len(looks) > 1)
        assert node.is_alive()
    finally:
        node.stop()


def test_a_node_goes_on_after_the_newest_known_arrival(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("from a clock that ran ahead", slices=1)
    receive(app, tmp_path, ds)
    change(app, Instance, str(ds.SOPInstanceUID), received_at=9e9)
    node = Node(app, lambda _hints: None)
    node.start()
    try:
        assert until(lambda: newest_stamp(app) > 9e18)
    finally:
        node.stop()


def newest_stamp(app: Application) -> int:
    name = app.spool.accept("1.2.3", b"x").path.name
    return int(name.split("-")[0])
