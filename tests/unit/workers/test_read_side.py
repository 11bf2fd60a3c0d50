"""What pages ask of the database: pages of the queue, counts, trends, scanners, destinations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import sqlite

from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from workers.bench.console import bench_console
from workers.bench.many_jobs import DESTINATION, fill
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.database import Database
from workers.state.fact_tables import ResultFacts
from workers.state.schema import Delivery, Job, JobState, Priority
from workers.usecases.backlog import list_backlogs
from workers.usecases.drift import MEASURES, drift_by_scanner
from workers.usecases.list_queue import (
    QueueFilter,
    count_queue,
    list_queue,
    matching_ids,
    page_query,
    queue_choices,
    states_of,
)
from workers.usecases.overview import look_back, look_over, recent_events
from workers.usecases.timeline import timeline

NOW = datetime(2026, 3, 29, 12, 20, tzinfo=UTC).timestamp()
JOBS = 1500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)]
)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """Many made-up jobs, only looked at."""
    url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'state.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("server").url
    database = Database(url)
    database.migrate()
    fill(database, JOBS, now=NOW, seed=1)
    yield database
    database.close()


def rows(database: Database) -> list[Job]:
    with database.read() as session:
        return list(session.scalars(select(Job).order_by(Job.id.desc())))


FILTERS = {
    "all": (QueueFilter(), lambda _: True),
    "states": (
        QueueFilter(states=(JobState.FAILED, JobState.QUEUED)),
        lambda job: job.state in {"failed", "queued"},
    ),
    "code": (QueueFilter(code="thickness"), lambda job: job.reason_code == "thickness"),
    "sender": (QueueFilter(calling_ae="CT_ER"), lambda job: job.calling_ae == "CT_ER"),
    "modality": (QueueFilter(modality="SR"), lambda job: job.modality == "SR"),
    "priority": (QueueFilter(priority=Priority.URGENT), lambda job: job.priority == 1),
    "time": (
        QueueFilter(since=NOW - 5 * 86400, until=NOW - 4 * 86400),
        lambda job: NOW - 5 * 86400 <= job.created_at < NOW - 4 * 86400,
    ),
    "destination": (
        QueueFilter(destination=DESTINATION),
        lambda job: job.state in {"failed", "delivering"},
    ),
    "together": (
        QueueFilter(states=(JobState.NOT_ELIGIBLE,), calling_ae="CT_ONCO", code="localizer"),
        lambda job: (
            (job.state, job.calling_ae, job.reason_code) == ("not_eligible", "CT_ONCO", "localizer")
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_pages_one_after_the_other_show_each_matching_job_once(filled: Database, name: str) -> None:
    wanted, matches = FILTERS[name]
    expected = [job.id for job in rows(filled) if matches(job)]
    assert expected

    for oldest_first in (False, True):
        shown: list[int] = []
        after: int | None = None
        with filled.read() as session:
            while True:
                page = list_queue(
                    session, replace(wanted, oldest_first=oldest_first), after=after, limit=200
                )
                shown += [job["id"] for job in page.jobs]
                after = page.next_after
                if after is None:
                    break
        assert shown == (expected[::-1] if oldest_first else expected)


def test_counts_are_those_of_the_filter_whatever_states_it_names(filled: Database) -> None:
    wanted = QueueFilter(states=(JobState.FAILED,), calling_ae="CT_ER")
    with filled.read() as session:
        counts = count_queue(session, wanted)

    mine = [job.state for job in rows(filled) if job.calling_ae == "CT_ER"]
    assert counts == {state: mine.count(state) for state in set(mine)}


def test_choices_are_what_there_is(filled: Database) -> None:
    with filled.read() as session:
        choices = queue_choices(session)

    jobs = rows(filled)
    assert set(choices["code"]) == {job.reason_code for job in jobs} - {None}
    assert set(choices["calling_ae"]) == {job.calling_ae for job in jobs}
    assert set(choices["modality"]) == {"CT", "SR"}


def test_a_job_is_found_by_number_uid_and_a_piece_of_one(filled: Database) -> None:
    job = rows(filled)[17]
    study = [each.id for each in rows(filled) if each.study_uid == job.study_uid]
    with filled.read() as session:
        found = [
            list(matching_ids(session, QueueFilter(text=text), limit=10))
            for text in (str(job.id), job.series_uid, job.study_uid, job.series_uid[-14:], "9%9")
        ]

    assert found == [[job.id], [job.id], study, [job.id], []]


def test_states_of_an_address_that_somebody_typed() -> None:
    assert states_of(["failed", "nonsense", "failed"]) == (JobState.FAILED,)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """SQLite that knows how its rows are spread, and so chooses indexes as in a hospital."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('analysed') / 'state.sqlite'}")
    database.migrate()
    fill(database, 5000, now=NOW, under_way=False)
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
    yield database
    database.close()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (QueueFilter(states=(JobState.FAILED,)), "job_state_id"),
        (QueueFilter(code="thickness"), "job_code"),
        (QueueFilter(states=(JobState.FAILED,), code="delivery_failed"), "job_(code|state_id)"),
        (QueueFilter(since=NOW - 86400, until=NOW), "job_created"),
        (QueueFilter(destination=DESTINATION), "delivery_(destination|delivered)"),
    ],
)
def test_filters_use_an_index(analysed: Database, wanted: QueueFilter, index: str) -> None:
    with analysed.read() as session:
        query = page_query(session, wanted, after=None, limit=50)
        compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]

    assert re.search(f"USING (COVERING )?INDEX {index}", "\n".join(plan)), plan
    assert not [line for line in plan if line == "SCAN job"], plan


def test_the_overview_counts_what_stands_where(filled: Database) -> None:
    with filled.read() as session:
        seen = look_over(session, now=NOW, zone=UTC)
        newest = recent_events(session, limit=3)

    jobs = rows(filled)
    states = [job.state for job in jobs]
    everything = {str(item.state): item.jobs for item in (*seen.open, *seen.needs_a_person)}
    assert everything | dict(seen.ended) == {state: states.count(state) for state in set(states)}
    oldest = {str(item.state): item.oldest_s for item in seen.open}
    assert oldest["queued"] == pytest.approx(
        NOW - min(job.state_since for job in jobs if job.state == "queued")
    )
    assert [event["job"] for event in newest] == [jobs[0].id] * 3


def test_hours_and_days_hold_each_job_once(filled: Database) -> None:
    zone = ZoneInfo("Europe/Berlin")  # clocks change in the night before NOW
    with filled.read() as session:
        seen = look_back(session, now=NOW, zone=zone)
        today_alone = look_over(session, now=NOW, zone=zone).today

    created = [datetime.fromtimestamp(job.created_at, zone) for job in rows(filled)]
    today = datetime.fromtimestamp(NOW, zone).date()
    assert [start.date() for start in seen.days.starts][-1] == today
    assert all(start.hour == 0 for start in seen.days.starts)
    assert seen.days.received == tuple(
        sum(each.date() == start.date() for each in created) for start in seen.days.starts
    )
    assert today_alone.received == seen.days.received[-1] > 0
    assert seen.hours.starts[-1] == datetime(2026, 3, 29, 14, tzinfo=zone)
    assert sum(seen.hours.received) == sum(each >= seen.hours.starts[0] for each in created)
    assert sum(seen.days.arrived) == sum(
        job.state == "confirmed" and job.state_since >= seen.days.starts[0].timestamp()
        for job in rows(filled)
    )


def test_a_scanner_whose_numbers_move_far_is_marked(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.migrate()
    with database.write() as session:
        for number in range(120):
            recent = number % 4 == 0
            moved = number % 2 == 0
            session.add(
                Job(
                    id=number + 1, study_uid="1.2", series_uid=f"1.2.{number}", warnings=[],
                    created_at=1.0, last_instance_at=1.0, state_since=1.0,
                )
            )  # fmt: skip
            session.flush()
            for scanner in ("A",) if moved else ("B",):
                session.add(
                    ResultFacts(
                        job_id=number + 1,
                        committed_at=NOW - (3 if recent else 30) * 86400,
                        scanner=scanner,
                        nodules=number % 3,
                        level_2=number % 3,
                        slice_spacing_mm=2.0 if recent and scanner == "A" else 1.0,
                        air_hu=-980.0 + number % 7,
                    )
                )
    with database.read() as session:
        found = {item.scanner: item for item in drift_by_scanner(session, now=NOW)}
    database.close()

    assert found["A"].moved == ("slice_spacing_mm",)
    assert found["A"].recent.results == found["A"].before.results == 30
    assert found["A"].recent.means["slice_spacing_mm"] == 2.0
    assert found["A"].before.deviations["nodules"] == pytest.approx(
        (sum(((n % 3) - 1.0) ** 2 for n in range(120) if n % 4 == 2) / 30) ** 0.5
    )
    assert found["B"].moved == ()  # nothing recent
    assert found["B"].recent.results == 0


def test_drift_of_many_results_on_each_database(filled: Database) -> None:
    with filled.read() as session:
        found = drift_by_scanner(session, now=NOW)
        facts = list(session.scalars(select(ResultFacts)))

    assert sum(item.recent.results + item.before.results for item in found) == len(facts)
    assert set(found[0].recent.means) == set(MEASURES)
    assert sum(sum(item.before.levels) + sum(item.recent.levels) for item in found) == sum(
        fact.nodules for fact in facts
    )


def test_a_destination_shows_what_waits_for_it_and_what_it_took_last(filled: Database) -> None:
    settings = Settings(
        destinations=(
            DestinationSettings(name=DESTINATION, ae_title="A", host="a", port=1),
            DestinationSettings(name="silent", ae_title="B", host="b", port=1),
        )
    )
    with filled.read() as session:
        pacs, silent = list_backlogs(session, settings, now=NOW)
        rows = list(session.scalars(select(Delivery)))

    waiting = [row for row in rows if row.state == "queued"]
    assert (pacs.waiting, pacs.failed) == (
        len(waiting),
        sum(row.state == "failed" for row in rows),
    )
    assert pacs.oldest_s == pytest.approx(NOW - min(row.created_at for row in waiting))
    assert pacs.last_success_at == max(row.delivered_at or 0 for row in rows)
    assert pacs.last_reason == "made up"
    assert (silent.waiting, silent.last_success_at, silent.oldest_s) == (0, None, None)


def test_a_timeline_has_a_stretch_for_each_state_and_rests_at_its_end() -> None:
    history = [
        {"at": 10.0, "state": "receiving"},
        {"at": 30.0, "state": "complete"},
        {"at": 31.0, "state": "complete"},
        {"at": 40.0, "state": "queued"},
        {"at": 39.0, "state": "analysing"},  # a clock was set back
        {"at": 90.0, "state": "confirmed"},
    ]

    found = timeline(history, state="confirmed", created_at=9.0, now=1000.0)

    assert [(str(item.state), item.lasted_s) for item in found] == [
        ("receiving", 21.0),
        ("complete", 10.0),
        ("queued", 0.0),
        ("analysing", 51.0),
        ("confirmed", None),
    ]
    (only,) = timeline([], state="queued", created_at=100.0, now=160.0)
    assert (only.state, only.lasted_s, only.now) == (JobState.QUEUED, 60.0, True)


def test_the_benchmark_asks_everything(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    found = bench_console(database, jobs=300, runs=1)
    database.close()

    assert (found["database"], found["jobs"]) == ("sqlite", 300)
    assert {"newest page", "overview", "one job"} < set(found["questions"])
