"""What node and workers ask at every look takes no longer with very many jobs, by their plans."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event

from workers.application import Application
from workers.bench.claims import ROUNDS, Stock, bench_claims
from workers.bench.many_jobs import fill, fill_waiting

SMALL_TABLES = {"switch", "alarm", "notice", "answer_report", "removal", "alembic_version"}


def test_every_question_is_timed_with_each_stock() -> None:
    result = bench_claims((Stock(over=20), Stock(over=60, waiting=20)), runs=1)

    assert result["database"] == "sqlite"
    assert [stock["jobs"] for stock in result["stocks"].values()] == [20, 80]
    for stock in result["stocks"].values():
        assert stock["questions"].keys() == ROUNDS.keys()
        assert min(taken["worst_ms"] for taken in stock["questions"].values()) > 0


def test_no_question_of_every_moment_reads_a_whole_table(app: Application) -> None:
    """Jobs that are over cost nothing: every plan of SQLite goes by an index."""
    fill(app.database, 2000, now=app.now() - 3600.0, under_way=False, proved=False)
    fill_waiting(app.database, 100, now=app.now())
    asked: dict[str, tuple[str, object]] = {}

    def note(_conn: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        if re.match(r"(SELECT|UPDATE)", sql):
            asked.setdefault(sql, (name, values))

    name = ""
    event.listen(app.database.engine, "before_cursor_execute", note)
    for name, ask in ROUNDS.items():
        if not name.startswith("every five minutes"):
            ask(app, app.now())
    event.remove(app.database.engine, "before_cursor_execute", note)

    whole = []
    with app.database.engine.connect() as connection:
        for sql, (asked_by, values) in asked.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            for step in plan:
                scanned = re.match(r"SCAN (\w+)", step[3])
                if scanned and scanned[1] not in SMALL_TABLES:
                    whole.append((asked_by, step[3], sql))
    assert len(asked) >= 15
    assert not whole


@pytest.mark.parametrize("waiting", [0, 50])
def test_the_choice_reads_as_many_rows_however_many_wait(app: Application, waiting: int) -> None:
    fill_waiting(app.database, 100 + waiting, now=app.now())
    sql = """EXPLAIN QUERY PLAN SELECT created_at, id FROM job WHERE state = 'queued'
        AND priority = 0 AND next_attempt_at <= 9e9 ORDER BY created_at, id LIMIT 1"""

    with app.database.engine.connect() as connection:
        plan = [step[3] for step in connection.exec_driver_sql(sql)]

    assert plan == ["SEARCH job USING INDEX job_choose (state=? AND priority=?)"]  # no sorting
