"""What the node's process does before and while its loops run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.bad_series import plain_series
from tests.unit.workers.rows import alarms, lose_database, receive, with_settings
from workers import roles, up
from workers.application import Application
from workers.errors import FolderInUse
from workers.supervisor import SUPERVISOR_PID, hold_folder


class QuietNode:
    """Stands in the node's place: it starts, lives and stops."""

    def __init__(self, _app: Application, _give_hints: Callable[..., None]) -> None:
        self.starts = 0

    def start(self) -> None:
        self.starts += 1

    def stop(self) -> None:
        pass


@pytest.fixture(autouse=True)
def stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The role ends as soon as it has started, as after SIGTERM."""
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(roles, "Node", QuietNode)
    monkeypatch.setattr(roles, "stop_on_signal", lambda: stop)
    monkeypatch.setattr(roles, "end_with_supervisor", lambda: None)
    monkeypatch.delenv(SUPERVISOR_PID, raising=False)


def run_node(app: Application) -> None:
    roles.run_node(with_settings(app.settings, broker_url="redis://127.0.0.1:1"))


def test_a_node_that_starts_beside_a_lost_database_raises_an_alarm(
    app: Application, tmp_path: Path
) -> None:
    (ds,) = plain_series("node starts", slices=1)
    receive(app, tmp_path, ds)
    lose_database(app)

    run_node(app)

    assert alarms(app) == [("database_empty", "database")]


def test_a_node_that_starts_for_the_first_time_raises_none(app: Application) -> None:
    run_node(app)

    assert alarms(app) == []


def test_a_node_alone_holds_its_data_folder(app: Application) -> None:
    run_node(app)

    with pytest.raises(FolderInUse, match="'node'"):
        hold_folder(app.settings.data_dir)


def test_a_node_does_not_start_in_a_folder_that_is_in_use(app: Application) -> None:
    hold_folder(app.settings.data_dir)

    with pytest.raises(FolderInUse):
        run_node(app)


def test_a_supervised_node_runs_under_the_hold_of_its_supervisor(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_folder(app.settings.data_dir)
    monkeypatch.setenv(SUPERVISOR_PID, "1")

    run_node(app)


def test_the_console_is_one_of_the_processes_where_it_is_wanted_and_installed(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(*, wanted: bool) -> set[str]:
        settings = with_settings(app.settings, console_enabled=wanted)
        return {child.name for child in up._children(settings, "redis://127.0.0.1:1", 1)}

    others = {"node", "analyse", "deliver"}
    assert names(wanted=True) == others | {"console"}
    assert names(wanted=False) == others
    monkeypatch.setattr(up, "console_is_installed", lambda: False)
    assert names(wanted=True) == others
