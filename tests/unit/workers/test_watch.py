"""What the node depends on: outages become alarms, and end."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.migrated import migrated_application
from tests.unit.workers.rows import alarms, with_settings
from workers import watch as module
from workers.application import Application
from workers.errors import StoreUnavailable
from workers.settings import Settings
from workers.state.alarms import (
    BROKER_UNREACHABLE,
    DATABASE_UNREACHABLE,
    DISK_LOW,
    NODE_LOOP_FAILS,
    SPOOL_REFUSES,
    STORE_UNREACHABLE,
    raise_alarm,
)
from workers.state.schema import Alarm
from workers.watch import Watch

BROKER = (BROKER_UNREACHABLE, "broker")
NO_PUT = StoreUnavailable("instances/1/2/3.dcm", "PermissionError")
LOCKED = OperationalError("UPDATE job", {}, Exception("database is locked"))
ERROR = ConnectionError("no route to host\nand more that nobody needs")


class Clock:
    """The monotonic clock of the watch, set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 5_000_000.0 + self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def watch(app: Application, time: Clock) -> Watch:
    del time
    return Watch(app)


@pytest.fixture
def with_reserve(settings: Settings) -> Iterator[Callable[[int], Application]]:
    opened: list[Application] = []

    def build(reserve_bytes: int) -> Application:
        changed = with_settings(settings, disk_reserve_bytes=reserve_bytes, outage_alarm_s=0)
        opened.append(migrated_application(changed))
        return opened[-1]

    yield build
    for app in opened:
        app.database.close()


def test_a_short_outage_needs_nobody(app: Application, watch: Watch, time: Clock) -> None:
    watch.failed(BROKER_UNREACHABLE, ERROR)
    watch.look()
    time.now_s += app.settings.outage_alarm_s - 1
    watch.look()
    watch.worked(BROKER_UNREACHABLE)
    time.now_s += 60
    watch.look()

    with app.database.read() as session:
        assert session.scalars(select(Alarm)).all() == []


def test_an_outage_that_lasts_is_an_alarm_since_it_began(
    app: Application, watch: Watch, time: Clock
) -> None:
    began_at = time.time()
    watch.failed(BROKER_UNREACHABLE, ERROR)
    time.now_s += app.settings.outage_alarm_s
    watch.look()

    assert alarms(app) == [BROKER]
    with app.database.read() as session:
        alarm = session.scalars(select(Alarm)).one()
        assert alarm.raised_at == began_at
        assert alarm.message == "ConnectionError: no route to host"


def test_the_alarm_ends_with_the_outage(app: Application, watch: Watch, time: Clock) -> None:
    watch.failed(BROKER_UNREACHABLE, ERROR)
    time.now_s += app.settings.outage_alarm_s
    watch.look()

    watch.worked(BROKER_UNREACHABLE)
    watch.look()

    assert alarms(app) == []


def test_an_outage_that_comes_back_before_its_end_was_written_is_still_one_that_lasts(
    app: Application, watch: Watch, time: Clock
) -> None:
    watch.failed(BROKER_UNREACHABLE, ERROR)
    time.now_s += app.settings.outage_alarm_s
    watch.look()
    watch.worked(BROKER_UNREACHABLE)
    watch.failed(BROKER_UNREACHABLE, ERROR)
    time.now_s += app.settings.outage_alarm_s
    watch.look()

    assert alarms(app) == [BROKER]
    watch.worked(BROKER_UNREACHABLE)
    watch.look()
    assert alarms(app) == []


def test_the_newest_error_of_an_outage_is_the_one_that_is_told(
    app: Application, watch: Watch, time: Clock
) -> None:
    watch.failed(BROKER_UNREACHABLE, ERROR)
    watch.failed(BROKER_UNREACHABLE, TimeoutError("no answer"))
    time.now_s += app.settings.outage_alarm_s
    watch.look()

    with app.database.read() as session:
        assert session.scalars(select(Alarm.message)).all() == ["TimeoutError: no answer"]


def test_a_node_that_starts_anew_closes_what_an_earlier_run_left_open(
    app: Application, watch: Watch
) -> None:
    with app.database.write() as session:
        raise_alarm(session, STORE_UNREACHABLE, "store", "away", at=1.0)
        raise_alarm(session, "job_stopped", "7", "failed", at=2.0)

    watch.look()

    assert alarms(app) == [("job_stopped", "7")]


def test_a_store_that_cannot_be_written_is_an_outage(
    app: Application, watch: Watch, time: Clock
) -> None:
    root = Path(app.settings.object_store_url)
    shutil.rmtree(root)
    watch.look()
    time.now_s += app.settings.outage_alarm_s
    watch.look()
    away = alarms(app)
    root.mkdir()
    watch.look()
    watch.look()

    assert away == [(STORE_UNREACHABLE, "store")]
    assert alarms(app) == []


def test_a_disk_under_its_reserve_is_an_outage(with_reserve: Callable[[int], Application]) -> None:
    app = with_reserve(10**18)

    Watch(app).look()

    assert alarms(app) == [(SPOOL_REFUSES, "spool")]


def test_a_disk_that_comes_near_its_reserve_is_told_before_anything_is_refused(
    with_reserve: Callable[[int], Application],
) -> None:
    app = with_reserve(0)
    app.spool.reserve_bytes = int(0.75 * app.spool.free_bytes())
    watch = Watch(app)

    watch.look()
    told = alarms(app)
    app.spool.reserve_bytes = int(0.25 * app.spool.free_bytes())
    watch.look()

    assert told == [(DISK_LOW, "spool")]
    assert alarms(app) == []


def test_a_spool_that_cannot_be_written_is_an_outage(
    with_reserve: Callable[[int], Application],
) -> None:
    app = with_reserve(0)
    shutil.rmtree(app.spool.partial)

    Watch(app).look()

    assert alarms(app) == [(SPOOL_REFUSES, "spool")]


def test_what_the_database_cannot_take_stands_in_the_log_once_and_in_the_table_later(
    app: Application, watch: Watch, time: Clock
) -> None:
    state = app.settings.data_dir / "state.sqlite"
    app.database.close()
    state.rename(state.with_suffix(".away"))
    state.mkdir()  # no database can be opened here
    with capture_logs() as logs:
        for _ in range(3):
            watch.look()
            time.now_s += app.settings.outage_alarm_s
    state.rmdir()
    state.with_suffix(".away").rename(state)
    watch.look()
    back = alarms(app)
    watch.look()

    told = [line["alarm"] for line in logs if line["event"] == "alarm_raised"]
    assert told == [DATABASE_UNREACHABLE]
    assert back == [(DATABASE_UNREACHABLE, "database")]
    assert alarms(app) == []


@pytest.mark.parametrize(
    ("code", "error", "subject"),
    [
        (STORE_UNREACHABLE, NO_PUT, "store"),
        (DATABASE_UNREACHABLE, LOCKED, "database"),
        (NODE_LOOP_FAILS, ERROR, "index"),
    ],
)
def test_what_one_loop_cannot_do_is_an_alarm_though_the_probe_can(
    app: Application,
    watch: Watch,
    time: Clock,
    code: str,
    error: Exception,
    subject: str,
) -> None:
    for second in range(300):
        watch.failed(code, error, source="index")
        watch.worked(code, source="tick")
        if second % 5 == 0:
            watch.look()
        time.now_s += 1
    lasting = alarms(app)

    watch.worked(code, source="index")
    watch.look()

    assert lasting == [(code, subject)]
    assert alarms(app) == []


def test_an_alarm_ends_when_the_last_that_failed_works(
    app: Application, watch: Watch, time: Clock
) -> None:
    watch.failed(STORE_UNREACHABLE, NO_PUT, source="index")
    time.now_s += app.settings.outage_alarm_s
    watch.look()
    watch.failed(STORE_UNREACHABLE, NO_PUT, source="tick")
    watch.worked(STORE_UNREACHABLE, source="index")
    watch.look()
    one_left = alarms(app)

    watch.worked(STORE_UNREACHABLE, source="tick")
    watch.look()

    assert one_left == [(STORE_UNREACHABLE, "store")]
    assert alarms(app) == []
    with app.database.read() as session:
        assert len(session.scalars(select(Alarm)).all()) == 1


def test_who_says_no_name_is_known_by_its_thread(
    app: Application, watch: Watch, time: Clock
) -> None:
    for name in ("index", "tick"):
        thread = threading.Thread(
            target=watch.failed, args=(NODE_LOOP_FAILS, ValueError("Doe^John")), name=name
        )
        thread.start()
        thread.join()
    time.now_s += app.settings.outage_alarm_s
    watch.look()

    assert sorted(alarms(app)) == [(NODE_LOOP_FAILS, "index"), (NODE_LOOP_FAILS, "tick")]
    with app.database.read() as session:
        words = set(session.scalars(select(Alarm.message)))
    assert words == {"ValueError: see the node's log"}


def test_a_failing_loop_of_an_earlier_run_is_closed_by_the_next(
    app: Application, watch: Watch
) -> None:
    with app.database.write() as session:
        raise_alarm(session, NODE_LOOP_FAILS, "index", "ValueError", at=1.0)

    watch.look()

    assert alarms(app) == []


def test_a_database_that_can_be_read_and_not_written_is_an_outage(
    app: Application, watch: Watch, time: Clock
) -> None:
    watch.look()
    with app.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    writer = sqlite3.connect(app.settings.data_dir / "state.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with capture_logs() as logs:
        for _ in range(2):
            watch.look()
            time.now_s += app.settings.outage_alarm_s
        watch.look()
    writer.execute("ROLLBACK")
    writer.close()
    watch.look()

    assert [line["alarm"] for line in logs if line["event"] == "alarm_raised"] == [
        DATABASE_UNREACHABLE
    ]
    assert alarms(app) == [(DATABASE_UNREACHABLE, "database")]
