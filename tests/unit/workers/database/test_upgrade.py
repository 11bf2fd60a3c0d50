"""From every earlier schema, with rows in every table, to this release's; and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from click.testing import Result as Done
from sqlalchemy import JSON, Boolean, Float, Integer, MetaData, String, Table, event, select, text
from typer.testing import CliRunner

from tests.unit.workers.rows import add_job, get_job
from workers import tasks
from workers.application import Application, open_application
from workers.cli.main import app as command_line
from workers.settings import Settings
from workers.state.database import (
    WRITES,
    Database,
    SchemaDamaged,
    SchemaMismatch,
    alembic_config,
)
from workers.state.tables import whole_metadata

HISTORY = [
    item.revision for item in ScriptDirectory.from_config(alembic_config()).walk_revisions()
][::-1]
ROWS = 2


def bring_to(database: Database, revision: str) -> None:
    """As an earlier release left it."""
    with database.engine.connect().execution_options(**{WRITES: True}) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def tables_of(database: Database) -> MetaData:
    found = MetaData()
    found.reflect(database.engine)
    found.remove(found.tables["alembic_version"])
    return found


def value_of(column: Any, number: int) -> Any:
    """Something that the column takes, another one for each row."""
    if column.foreign_keys:
        (key,) = column.foreign_keys
        return value_of(key.column, number)
    kind = column.type
    if isinstance(kind, Boolean):
        return number % 2 == 0
    if isinstance(kind, JSON):
        return ["text"]
    if isinstance(kind, Integer):
        return number + 1
    if isinstance(kind, Float):
        return number + 0.5
    assert isinstance(kind, String), f"{column}: {kind}"
    return f"{column.name[:5]}{number}"[: kind.length or 64]


def fill(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Two rows in every table there is; table -> rows."""
    tables = tables_of(database)
    rows: dict[str, list[dict[str, Any]]] = {}
    with database.write() as session:
        for table in tables.sorted_tables:
            rows[table.name] = [
                {column.name: value_of(column, number) for column in table.columns}
                for number in range(ROWS)
            ]
            session.execute(table.insert(), rows[table.name])
    return rows


def kept(database: Database, table: Table) -> list[dict[str, Any]]:
    keys = list(table.primary_key.columns)
    with database.read() as session:
        return [dict(row._mapping) for row in session.execute(select(table).order_by(*keys))]


def on_both() -> Iterator[Any]:
    """SQLite from every revision; PostgreSQL from the first at once, from the others at length."""
    for revision in HISTORY:
        yield pytest.param("sqlite", revision, id=f"sqlite-{revision}")
        marks = [pytest.mark.peer, *([] if revision == HISTORY[0] else [pytest.mark.long])]
        yield pytest.param("postgresql", revision, id=f"postgresql-{revision}", marks=marks)


@pytest.mark.parametrize(("empty", "revision"), list(on_both()), indirect=["empty"])
def test_every_row_of_an_earlier_release_lives_on(empty: Database, revision: str) -> None:
    bring_to(empty, revision)
    before = fill(empty)

    empty.migrate()

    empty.check_version()
    after = tables_of(empty)
    for name, rows in before.items():
        found = kept(empty, after.tables[name])
        shared = set(rows[0]) & set(found[0])
        assert [{key: row[key] for key in shared} for row in found] == [
            {key: row[key] for key in shared} for row in rows
        ], name
    with empty.read() as session:  # what is new has values that the code reads
        for table in whole_metadata().sorted_tables:
            session.execute(select(table)).all()


def test_an_upgrade_that_is_cut_off_changes_nothing(empty: Database) -> None:
    bring_to(empty, HISTORY[-3])
    before = fill(empty)
    shape = {name: set(table.columns.keys()) for name, table in tables_of(empty).tables.items()}

    @event.listens_for(empty.engine, "before_cursor_execute")
    def _cut(*arguments: Any) -> None:
        """At the last step: everything is made, and the number is not written yet."""
        if f"SET version_num='{HISTORY[-1]}'" in arguments[2]:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        empty.migrate()

    found = tables_of(empty).tables
    assert {name: set(table.columns.keys()) for name, table in found.items()} == shape
    assert {name: len(kept(empty, found[name])) for name in before} == dict.fromkeys(before, ROWS)
    assert empty.versions()[0] == HISTORY[-3]


def test_the_message_says_what_to_do(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"at schema none.*run 'pulmonode migrate'"):
        empty.check_version()
    bring_to(empty, HISTORY[0])
    with pytest.raises(SchemaMismatch, match=r"backup'\), then run 'pulmonode migrate'"):
        empty.check_version()
    empty.migrate()
    set_version(empty, "9999")
    with pytest.raises(SchemaMismatch, match=r"at schema 9999.*newer release.*install that"):
        empty.check_version()
    with pytest.raises(SchemaMismatch, match="newer release"):
        empty.migrate()


def test_a_database_that_only_says_that_it_was_upgraded_is_refused(empty: Database) -> None:
    bring_to(empty, HISTORY[-2])
    set_version(empty, HISTORY[-1])

    with pytest.raises(SchemaDamaged, match="restore the last backup") as caught:
        empty.check_version()

    assert caught.value.lacks


def test_of_a_sqlite_file_the_one_before_the_upgrade_is_kept(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    bring_to(database, HISTORY[2])
    database.migrate()
    database.migrate()
    database.close()
    earlier = Database(f"sqlite:///{tmp_path / f'state.sqlite.schema-{HISTORY[2]}'}")

    assert earlier.versions()[0] == HISTORY[2]
    assert [path.name for path in tmp_path.glob("*.schema-000[0-9]")] == [
        f"state.sqlite.schema-{HISTORY[2]}"
    ]
    earlier.close()


def set_version(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


@pytest.fixture
def app(settings: Settings) -> Iterator[Application]:
    opened = open_application(settings, migrate=True)
    yield opened
    opened.database.close()


def test_a_worker_whose_database_was_upgraded_meanwhile_takes_nothing(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = add_job(app)
    monkeypatch.setattr(tasks, "_opened", lambda: app)
    set_version(app.database, "9999")

    with pytest.raises(SchemaMismatch, match="newer release"):
        tasks.analyse()

    assert get_job(app, job_id).state == "queued"


@pytest.fixture
def run(settings: Settings) -> Callable[..., Done]:
    environment = {
        "PULMONODE_DATA_DIR": str(settings.data_dir),
        "PULMONODE_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    return lambda *arguments: CliRunner().invoke(command_line, arguments, env=environment)


def test_nothing_starts_on_another_release_s_database(
    app: Application, run: Callable[..., Done]
) -> None:
    set_version(app.database, "9999")

    for arguments in (("worker",), ("console",), ("jobs", "list"), ("migrate",), ("backup", "x")):
        done = run(*arguments)
        assert done.exit_code == 1, arguments
        assert "a newer release has upgraded it" in done.stderr.replace("\n", " "), arguments


def test_migrate_says_what_it_would_do_and_does_it(
    settings: Settings, run: Callable[..., Done]
) -> None:
    settings.data_dir.mkdir()
    database = Database(settings.database_url)
    bring_to(database, HISTORY[1])
    database.close()

    asked = run("migrate", "--check")
    done = run("migrate")
    again = run("migrate", "--check")

    assert (asked.exit_code, done.exit_code, again.exit_code) == (2, 0, 0)
    assert "'pulmonode backup'" in asked.stdout.replace("\n", " ")
    assert f"(it was at {HISTORY[1]})" in done.stdout
    assert f"*.schema-{HISTORY[1]}" in done.stdout.replace("\n", "")
    assert "as this release needs" in again.stdout


def test_migrate_makes_the_first_database_in_a_folder_that_is_not_there_yet(
    settings: Settings, run: Callable[..., Done]
) -> None:
    assert not settings.data_dir.exists()

    done = run("migrate")

    assert done.exit_code == 0
    assert "(it was at none)" in done.stdout
