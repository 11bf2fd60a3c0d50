"""The state database on SQLite and on a real PostgreSQL: schema, transactions, clock."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from workers import clock
from workers.state import database as module
from workers.state.database import DATABASE_AWAY, WRITES, Database, SchemaMismatch
from workers.state.schema import Base, Event, Instance, Job, JobState, Switch

BEFORE_IT_WAS_SEEN_S = 0.3


@pytest.fixture
def database(empty: Database) -> Database:
    empty.migrate()
    return empty


def job(uid: str = "1.2.3", **values: Any) -> Job:
    return Job(
        study_uid="1.2", series_uid=uid, warnings=[], created_at=1.0, last_instance_at=1.0,
        state_since=1.0, **values,
    )  # fmt: skip


def put_switch(database: Database, name: str, value: str) -> None:
    with database.write() as session:
        session.merge(Switch(name=name, value=value, changed_at=1.0))


def switches(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.name: row.value for row in session.scalars(select(Switch))}


def upgrade(database: Database, revision: str) -> None:
    """Bring an older release's database into being."""
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        config = module.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def test_migrations_from_nothing_lead_to_the_schema_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "render_as_batch": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_demand_a_value_exactly_where_the_code_does(database: Database) -> None:
    found = {
        (table, column["name"]): column["nullable"]
        for table in Base.metadata.tables
        for column in inspect(database.engine).get_columns(table)
    }

    assert found == {
        (table.name, column.name): column.nullable
        for table in Base.metadata.tables.values()
        for column in table.columns
    }


def test_migrating_again_changes_nothing(database: Database) -> None:
    put_switch(database, "kept", "on")

    database.migrate()

    assert switches(database) == {"kept": "on"}
    database.check_version()


def test_a_database_without_or_with_another_schema_is_refused(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match="at schema none"):
        empty.check_version()
    upgrade(empty, "0001")
    with pytest.raises(SchemaMismatch, match="at schema 0001, this release needs"):
        empty.check_version()


def test_rows_of_the_first_schema_live_on_with_what_was_true_of_them(empty: Database) -> None:
    upgrade(empty, "0001")
    old = {
        "job": "id, study_uid, series_uid, revision, state, warnings, calling_ae, modality, "
        "instance_count, priority, forced, created_at, last_instance_at, state_since, attempts, "
        "next_attempt_at, hinted_at, fencing_token) VALUES (7, '1.2', '1.2.3', 1, 'delivering', "
        "'[]', 'PACS', 'CT', 2, 0, :no, 1, 2, 3, 1, 0, 0, 4",
        "event": "id, job_id, at, state, message) VALUES (1, 7, 1, 'receiving', 'first'",
        "instance": "sop_uid, study_uid, series_uid, path, size_bytes, header_sha256, "
        "pixels_sha256, received_at, times_received, header) VALUES ('1.2.4', '1.2', '1.2.3', "
        "'p', 2, 'h', 'x', 1, 1, '{}'",
        "result": "job_id, fencing_token, committed_at, findings_path, findings_sha256, "
        "identity_sha256, nodule_count) VALUES (7, 4, 3, 'f', 'f', 'i', 2",
        "result_object": "sop_uid, job_id, kind, profile, sop_class_uid, series_uid, path, "
        "sha256, size_bytes) VALUES ('1.2.9', 7, 'sr', 'default', '1', '1.2.8', 'r', 'r', 9",
        "delivery": "id, job_id, destination, state, attempts, next_attempt_at, hinted_at, "
        "fencing_token, created_at) VALUES (3, 7, 'main', 'queued', 1, 0, 0, 1, 3",
        "commitment": "transaction_uid, delivery_id, requested_at, committed_count, failed) "
        "VALUES ('2.25.1', 3, 1, 0, '[]'",
        "switch": "name, value, changed_at) VALUES ('pause:analyse', 'on', 1",
    }
    with empty.engine.connect() as connection, connection.begin():
        for table, rest in old.items():
            connection.execute(text(f"INSERT INTO {table} ({rest})"), {"no": False})

    empty.migrate()

    with empty.read() as session:
        (row,) = session.scalars(select(Job))
        assert (row.id, row.fencing_token, row.state) == (7, 4, JobState.DELIVERING)
        assert (row.correction, row.pacs_answer, row.pacs_agrees) == (None, None, None)
        assert (row.pacs_asked_at, row.pacs_answers_alike) == (0.0, 0)
        instance = session.execute(text("SELECT stored, times_received FROM instance")).one()
        assert tuple(map(int, instance)) == (1, 1)
        assert not session.execute(text("SELECT recorded FROM result")).scalar_one()
        for table in ("event", "result_object", "delivery", "commitment", "switch"):
            counted = session.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            assert (table, counted.scalar_one()) == (table, 1)


def test_what_an_error_interrupts_is_not_written(database: Database) -> None:
    def break_off() -> None:
        with database.write() as session:
            session.add(Switch(name="half", value="on", changed_at=1.0))
            session.flush()
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        break_off()

    assert switches(database) == {}


def test_writing_transactions_exclude_each_other(database: Database) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(10)
        with database.write():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with database.write():
        inside.set()
        time.sleep(BEFORE_IT_WAS_SEEN_S)  # without the lock the second one is through by now
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_two_that_count_up_at_once_lose_no_step(database: Database) -> None:
    put_switch(database, "steps", "0")

    def count_up() -> None:
        for _ in range(20):
            with database.write() as session:
                row = session.get_one(Switch, "steps")
                row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert switches(database) == {"steps": "60"}


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_of_its_work(database: Database) -> None:
    put_switch(database, "a", "old")

    with database.write() as session:
        session.get_one(Switch, "a").value = "new"
        session.flush()
        seen = switches(database)

    assert seen == {"a": "old"}
    assert switches(database) == {"a": "new"}


def test_a_reader_sees_one_moment_however_often_it_looks(database: Database) -> None:
    put_switch(database, "a", "old")
    value = select(Switch.value).where(Switch.name == "a")

    with database.read() as session:
        before = session.scalar(value)
        put_switch(database, "a", "new")
        after = session.scalar(value)

    assert (before, after) == ("old", "old")


def test_a_row_that_names_a_job_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Event(job_id=404, at=1.0, state="receiving", message="whose?"))


def test_a_series_has_one_job_per_revision(database: Database) -> None:
    with database.write() as session:
        session.add_all([job(revision=1), job(revision=2)])

    with pytest.raises(IntegrityError), database.write() as session:
        session.add(job(revision=2))


def test_a_size_beyond_32_bits_comes_back_as_it_was(database: Database) -> None:
    with database.write() as session:
        session.add(
            Instance(
                sop_uid="1", study_uid="1", series_uid="1", path="p", size_bytes=5_000_000_000,
                header_sha256="h", pixels_sha256="x", received_at=1.25, header={"a": [1, None]},
            )
        )  # fmt: skip

    with database.read() as session:
        row = session.get_one(Instance, "1")
        assert (row.size_bytes, row.header) == (5_000_000_000, {"a": [1, None]})


def test_sqlite_tells_the_time_of_its_one_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    monkeypatch.setattr(clock, "now", lambda: 12.5)

    assert database.now() == 12.5


@pytest.mark.peer
def test_postgresql_tells_its_own_time_whatever_this_host_believes(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(server.url)
    truly = time.time()
    monkeypatch.setattr(clock, "now", lambda: 12.5)
    monkeypatch.setattr(time, "time", lambda: 12.5)

    assert abs(database.now() - truly) < 60  # both run on this machine
    database.close()


@pytest.mark.peer
def test_a_connection_that_the_server_cut_is_replaced_at_the_next_use(
    server: PostgresServer,
) -> None:
    database = Database(server.url)
    database.migrate()
    put_switch(database, "before", "on")

    assert server.disconnect_everyone() > 0

    assert switches(database)["before"] == "on"
    database.close()


@pytest.mark.peer
def test_a_server_that_is_gone_raises_what_counts_as_away() -> None:
    database = Database(f"postgresql+psycopg://pulmonode@127.0.0.1:{free_port()}/pulmonode")

    for use in (database.read, database.write):
        with pytest.raises(DATABASE_AWAY), use() as session:
            session.execute(text("SELECT 1"))
    with pytest.raises(OperationalError):
        database.now()
    database.close()


@pytest.mark.peer
def test_a_host_that_falls_silent_within_a_transaction_does_not_keep_the_lock(
    server: PostgresServer,
) -> None:
    database = Database(server.url)
    with database.engine.connect() as connection:
        shown = connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
        lock = connection.execute(text("SHOW lock_timeout")).scalar_one()
    database.close()

    assert (shown, lock) == ("15s", "30s")


def test_asking_for_the_version_again_and_again_keeps_nothing(database: Database) -> None:
    """Each task of a worker asks; kept, these statements would push out those in use."""
    kept = database.engine._compiled_cache
    assert kept is not None
    database.check_number()
    before = len(kept)

    for _ in range(20):
        database.check_number()

    assert len(kept) == before
