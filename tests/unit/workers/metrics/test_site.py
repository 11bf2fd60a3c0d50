from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from dicom_node.deliver.peer import Peer, echo
from tests.integration.service import free_port, wait_for
from tests.unit.workers.rows import NOW, add_delivery, add_job, set_state, with_settings
from workers.application import Application, open_application
from workers.metrics.catalogue import METRICS, of_role
from workers.metrics.registry import OwnFigures
from workers.metrics.site import SiteCollector
from workers.metrics.transitions import Transitions
from workers.metrics.worker import WorkerFigures
from workers.node import Node
from workers.settings import Settings
from workers.state.alarms import NOBODY_WORKS, raise_alarm
from workers.state.schema import Delivery, DeliveryState, Event, Job, JobState
from workers.usecases.heartbeat import tell_alive, workers_alive


def scrape(app: Application) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SiteCollector(app))
    return registry


def test_jobs_queues_and_deliveries_are_counted(app: Application) -> None:
    now = app.now()
    add_job(app, state_since=now - 120)
    add_job(app, series_uid="1.2.4", state_since=now - 60)
    later = add_job(app, series_uid="1.2.5", next_attempt_at=now + 600)
    add_delivery(app, later, "main", attempts=2, created_at=now - 30, next_attempt_at=now + 60)
    add_delivery(
        app, later, "second", state=DeliveryState.DELIVERED, delivered_at=now - 5, attempts=1
    )
    with app.database.write() as session:
        raise_alarm(session, NOBODY_WORKS, "analyse", "test", at=now)

    read = scrape(app).get_sample_value

    assert read("pulmonode_jobs", {"state": "queued"}) == 3
    assert read("pulmonode_jobs", {"state": "failed"}) == 0
    assert read("pulmonode_queue_jobs", {"queue": "analyse"}) == 2
    assert read("pulmonode_queue_oldest_seconds", {"queue": "analyse"}) == pytest.approx(120, abs=5)
    assert read("pulmonode_queue_jobs", {"queue": "deliver"}) == 0
    assert read("pulmonode_deliveries", {"destination": "main", "state": "queued"}) == 1
    assert read("pulmonode_deliveries_retrying", {"destination": "main"}) == 1
    assert read("pulmonode_deliveries_retrying", {"destination": "second"}) == 0
    assert read("pulmonode_destination_waiting_seconds", {"destination": "main"}) == pytest.approx(
        30, abs=5
    )
    assert read(
        "pulmonode_destination_last_success_timestamp_seconds", {"destination": "second"}
    ) == pytest.approx(now - 5)
    assert read("pulmonode_alarms", {"code": "nobody_works"}) == 1
    assert read("pulmonode_alarms", {"code": "store_unreachable"}) == 0
    assert read("pulmonode_database_up") == 1


def test_moves_since_the_first_look_are_counted_with_their_durations(app: Application) -> None:
    add_job(app, JobState.RECEIVING, series_uid="1.2.3")
    set_state(app, "1.2.3", JobState.RECEIVING, at=100.0)
    before = Transitions()
    with app.database.read() as session:
        before.read(session)
    set_state(app, "1.2.3", JobState.COMPLETE, at=130.0)
    set_state(app, "1.2.3", JobState.QUEUED, at=131.0)
    with app.database.read() as session:
        before.read(session)
        before.read(session)

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in before.collect()
        for sample in family.samples
    }

    assert found["pulmonode_series_assembled_total",] == 1
    assert found["pulmonode_job_transitions_total", "queued"] == 1
    assert found["pulmonode_job_transitions_total", "receiving"] == 0
    assert found["pulmonode_job_state_seconds_sum", "receiving"] == 30
    assert found["pulmonode_job_state_seconds_count", "complete"] == 1
    assert found["pulmonode_job_state_seconds_bucket", "receiving", "15.0"] == 0
    assert found["pulmonode_job_state_seconds_bucket", "receiving", "30.0"] == 1


def test_without_the_database_its_figures_are_absent_and_that_is_said(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away() -> float:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(type(app.database), "now", lambda _self: away())

    read = scrape(app).get_sample_value

    assert read("pulmonode_database_up") == 0
    assert read("pulmonode_jobs", {"state": "queued"}) is None


def test_a_worker_that_fell_silent_or_said_good_bye_is_not_counted(app: Application) -> None:
    tell_alive(app, 1, ("analyse",), 2)
    tell_alive(app, 2, ("deliver", "maintain"), 8)

    assert scrape(app).get_sample_value("pulmonode_workers", {"queue": "analyse"}) == 1

    tell_alive(app, 1, ("analyse",), 2, stopped=True)
    with app.database.read() as session:
        assert [row.pid for row in workers_alive(session, now=app.now(), heartbeat_s=15)] == [2]
        assert not workers_alive(session, now=app.now() + 46, heartbeat_s=15)
    assert scrape(app).get_sample_value("pulmonode_workers", {"queue": "analyse"}) == 0


def test_a_scrape_stays_cheap_with_a_hundred_thousand_jobs(app: Application) -> None:
    states = [JobState.CONFIRMED] * 97 + [JobState.QUEUED, JobState.FAILED, JobState.DELIVERING]
    with app.database.write() as session:
        session.execute(
            insert(Job),
            [
                {
                    "id": n, "study_uid": f"1.{n}", "series_uid": f"1.{n}.1", "revision": 1,
                    "state": states[n % 100], "warnings": [], "created_at": NOW,
                    "last_instance_at": NOW, "state_since": NOW,
                }
                for n in range(1, 100_001)
            ],
        )  # fmt: skip
        session.execute(
            insert(Delivery),
            [
                {
                    "job_id": n, "destination": ("main", "second")[n % 2], "attempts": 1,
                    "created_at": NOW, "delivered_at": NOW + n,
                    "state": "queued" if n % 100 == 99 else "confirmed",
                }
                for n in range(1, 100_001)
            ],
        )  # fmt: skip
        session.execute(
            insert(Event),
            [
                {"job_id": n, "at": NOW, "state": "queued", "message": "test"}
                for n in range(1, 100_001)
            ],
        )
    collector = SiteCollector(app)
    list(collector.collect())  # opens the database
    collector._read_at = float("-inf")
    started = time.process_time()
    found = {family.name: family for family in collector.collect()}
    seconds = time.process_time() - started

    assert sum(sample.value for sample in found["pulmonode_jobs"].samples) == 100_000
    assert seconds < 0.25  # a scrape every 15 s may cost some of a core


@pytest.fixture
def served(settings: Settings) -> Iterator[tuple[Application, Node]]:
    app = open_application(
        with_settings(settings, metrics_enabled=True, metrics_port=free_port()), migrate=True
    )
    node = Node(app, lambda _hints: None)
    node.start()
    yield app, node
    node.stop()
    app.database.close()


def exposed(port: int) -> dict[str, str]:
    """Name -> kind of what is served, without the library's own figures."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("pulmonode") and not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = family.type
    return found


def test_the_node_serves_what_the_catalogue_says_and_nothing_else(
    served: tuple[Application, Node],
) -> None:
    app, node = served
    echo(Peer(ae_title="PULMONODE", host="127.0.0.1", port=node.scp.port), "PACS")
    wait_for(
        lambda: "pulmonode_jobs" in exposed(app.settings.metrics_port),
        limit_s=5,
        message="the database is read",
    )

    found = exposed(app.settings.metrics_port)

    assert found == {metric.name: metric.kind for metric in of_role("node")}


def test_a_worker_serves_what_the_catalogue_says(settings: Settings) -> None:
    changed = with_settings(settings, metrics_enabled=True, metrics_port=free_port() - 1)
    WorkerFigures(changed, ("analyse",))

    assert exposed(changed.metrics_port + 1) == {
        metric.name: metric.kind for metric in of_role("worker")
    }


def test_a_port_that_is_taken_stops_nobody(
    served: tuple[Application, Node], tmp_path: Path
) -> None:
    app, _ = served
    other = open_application(with_settings(app.settings, data_dir=tmp_path / "b"), migrate=True)
    second = Node(other, lambda _hints: None)
    second.start()
    echo(Peer(ae_title="PULMONODE", host="127.0.0.1", port=second.scp.port), "PACS")
    second.stop()
    other.database.close()


def test_every_noted_figure_is_known_to_the_role_that_notes_it() -> None:
    for role in ("node", "worker"):
        own = OwnFigures(role)  # type: ignore[arg-type]
        for metric in of_role(role):  # type: ignore[arg-type]
            if metric.noted:
                own.apply(metric.name, 1.0, dict.fromkeys(metric.labels, "x"))
        assert own.registry.get_sample_value("pulmonode_unknown_observations_total") == 0
    assert METRICS
