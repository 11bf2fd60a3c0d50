"""The use cases on a real PostgreSQL: what SQLite forgives, it does not."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.read.header import read_header
from dicom_node.receive.commitment import CommitmentReport
from tests.integration.bad_series import plain_series, save
from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.unit.workers.rows import (
    add_delivery,
    add_job,
    alarms,
    commit,
    count,
    delivery_states,
    get_delivery,
    get_job,
    history,
    job_of,
    order_taken,
    receive,
    revisions,
    set_state,
    with_settings,
)
from workers.application import Application, open_application
from workers.errors import LeaseLost
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY
from workers.state.jobs import take_job
from workers.state.schema import (
    Commitment,
    DeliveryState,
    Instance,
    Job,
    JobState,
    KeptAside,
    Priority,
    Result,
)
from workers.usecases.analyse import fail_attempt
from workers.usecases.confirm import record_commitment
from workers.usecases.describe import count_jobs, list_jobs, show_job
from workers.usecases.index import index_inbox
from workers.usecases.record import record_due
from workers.usecases.recover import due_hints, expire_leases
from workers.usecases.reindex import reindex
from workers.usecases.revise import new_job
from workers.usecases.watch_destinations import watch_destinations

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgresql"), free_port()) as running:
        yield running


@pytest.fixture
def app(settings: Settings, server: PostgresServer) -> Iterator[Application]:
    empty(server)
    opened = open_application(with_settings(settings, state_url=server.url), migrate=True)
    yield opened
    opened.database.close()


def empty(server: PostgresServer) -> None:
    server.start()
    server.disconnect_everyone()
    server.query("DROP SCHEMA public CASCADE")
    server.query("CREATE SCHEMA public AUTHORIZATION pulmonode")


def test_a_series_its_correction_and_its_result_go_their_way(
    app: Application, tmp_path: Path
) -> None:
    datasets = plain_series("way", slices=2)
    uid = str(datasets[0].SeriesInstanceUID)
    receive(app, tmp_path, *datasets)
    old = commit(app, uid)
    record_due(app)
    for ds in datasets:
        ds.PatientName = "Right^Name"
    receive(app, tmp_path, *datasets)
    commit(app, uid)

    assert revisions(app, uid) == [(1, JobState.SUPERSEDED), (2, JobState.DELIVERING)]
    assert delivery_states(app, old) == {DeliveryState.CANCELLED}
    with app.database.read() as session:
        assert show_job(session, uid)["revision"] == 2
        assert [row["revision"] for row in list_jobs(session)] == [2, 1]
        assert count_jobs(session) == {"superseded": 1, "delivering": 1}


def test_a_lost_database_is_rebuilt_from_files_and_records(
    app: Application, server: PostgresServer, tmp_path: Path
) -> None:
    (ds,) = plain_series("lost", slices=1)
    other = copy.deepcopy(ds)
    other.PixelData = bytes(len(ds.PixelData))
    receive(app, tmp_path, ds)
    commit(app, str(ds.SeriesInstanceUID))
    record_due(app)
    receive(app, tmp_path, other)
    before = revisions(app, str(ds.SeriesInstanceUID))
    empty(server)
    app.database.migrate()

    reindex(app)

    assert revisions(app, str(ds.SeriesInstanceUID)) == before
    assert [count(app, table) for table in (Instance, Result, KeptAside)] == [1, 1, 1]


def test_urgent_jobs_and_starving_ones_come_first(app: Application) -> None:
    now = app.now()
    ids = [
        add_job(app, series_uid=f"1.{n}", priority=priority, created_at=now - waited_s)
        for n, (priority, waited_s) in enumerate(
            [(Priority.NORMAL, 9), (Priority.URGENT, 1), (Priority.OFF_PEAK, 1e6)]
        )
    ]

    assert order_taken(app, now) == [ids[2], ids[1], ids[0]]


def test_many_workers_that_reach_for_one_job_get_it_once(app: Application) -> None:
    job_id = add_job(app)
    taken: list[int] = []
    start = threading.Barrier(4)

    def reach_for_it() -> None:
        start.wait(10)
        try:
            with app.database.write() as session:
                lease = take_job(session, job_id, "w", now=app_now, lease_s=60)
        except LeaseLost:
            return
        taken.append(lease.token)

    app_now = app.now()
    threads = [threading.Thread(target=reach_for_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert taken == [1]
    assert history(app, job_id) == ["attempt 1 by w"]


def test_leases_run_out_by_the_databases_clock(app: Application) -> None:
    job_id = add_job(app)
    now = app.now()
    with app.database.write() as session:
        lease = take_job(session, job_id, "gone", now=now, lease_s=60)

    assert expire_leases(app, now=now + 59) == 0
    assert expire_leases(app, now=now + 60) == 1
    assert due_hints(app, now=now + 60).job_ids == (job_id,)
    with pytest.raises(LeaseLost):
        fail_attempt(app, lease, OSError("late"))


def test_a_silent_destination_raises_its_alarm(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERING)
    add_delivery(app, job_id, attempts=1, reason="no association")

    watch_destinations(app, now=app.now())

    assert alarms(app) == [("destination_silent", "main")]


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("modality", "CT\0", "CT"),
        ("modality", "COMPUTED TOMOGRAPHY", "COMPUTED TOMOGRA"),
        ("source_ae_title", "\0" * 8, ""),
        ("source_ae_title", "AN AE TITLE THAT IS TOO LONG", "AN AE TITLE THAT"),
    ],
)
def test_malformed_values_of_a_header_find_room(
    app: Application, tmp_path: Path, field: str, value: str, kept: str
) -> None:
    (path,) = save(plain_series("malformed", slices=1), tmp_path)
    header = replace(read_header(path), **{field: value})  # type: ignore[arg-type]

    with app.database.write() as session:
        job = new_job(session, header, app.settings, revision=1, message="NUL \0 too", now=1.0)
        column = {"modality": job.modality, "source_ae_title": job.calling_ae}[field]

    assert column == kept
    assert history(app, job.id) == ["NUL   too"]


def test_a_description_with_nul_is_no_poison(app: Application, tmp_path: Path) -> None:
    (ds,) = plain_series("description", slices=1)
    ds.SeriesDescription = "Chest \0 1 mm"

    receive(app, tmp_path, ds)

    assert job_of(app, str(ds.SeriesInstanceUID)).state == JobState.RECEIVING
    assert app.spool.quarantined() == []


def test_a_peers_words_with_nul_are_written_down_all_the_same(app: Application) -> None:
    job_id = add_job(app, JobState.DELIVERED)
    delivery_id = add_delivery(
        app, job_id, state=DeliveryState.DELIVERED, attempts=2, awaits_commitment_until=9e9
    )
    with app.database.write() as session:
        session.add(
            Commitment(
                transaction_uid="2.25.1", delivery_id=delivery_id, requested_at=1.0, failed=[]
            )
        )
    refused = (("1.2\0.3", "reason \0 unknown"),)
    report = CommitmentReport(
        transaction_uid="2.25.1", committed=(), failed=refused, peer_ae_title="MAIN"
    )

    assert record_commitment(app, report)

    assert get_delivery(app, delivery_id).state == DeliveryState.QUEUED
    assert alarms(app) == [("not_confirmed", str(job_id))]


def test_while_the_server_is_gone_files_wait_in_the_inbox_and_are_indexed_after(
    app: Application, server: PostgresServer, tmp_path: Path
) -> None:
    first, second = plain_series("server gone", slices=2)
    uid = str(first.SeriesInstanceUID)
    receive(app, tmp_path, first)
    server.kill()

    with pytest.raises(DATABASE_AWAY):
        receive(app, tmp_path, second)
    waiting = len(app.spool.inbox())
    server.start()
    index_inbox(app)

    assert waiting == 1
    assert job_of(app, uid).instance_count == 2
    assert app.spool.inbox() == []


def test_a_write_that_the_server_cut_is_not_half_written(
    app: Application, server: PostgresServer
) -> None:
    job_id = add_job(app, JobState.RECEIVING)

    def cut() -> None:
        with app.database.write() as session:
            session.get_one(Job, job_id).state = JobState.COMPLETE
            session.flush()
            server.disconnect_everyone()

    with pytest.raises(DATABASE_AWAY):
        cut()

    assert get_job(app, job_id).state == JobState.RECEIVING
    set_state(app, "1.2.3", JobState.COMPLETE)
    assert get_job(app, job_id).state == JobState.COMPLETE
