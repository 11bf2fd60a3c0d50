"""Deliveries that are stopped, or lose their database, at a point that is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from dicom_node.barriers import Barrier, install
from dicom_node.mini_pacs import MiniPacs
from tests.unit.workers.delivery_cases import add_second_object, make_due, states
from workers.application import Application
from workers.state.schema import (
    Delivery,
    DeliveryState,
    JobState,
)
from workers.state.store import get_content
from workers.usecases.administer import cancel
from workers.usecases.deliver import deliver_one


@pytest.fixture
def at() -> Iterator[Callable[[Barrier, Callable[[], object]], None]]:
    """Lets something happen once, when a delivery reaches a barrier."""

    def arm(wanted: Barrier, strike: Callable[[], object]) -> None:
        def hook(reached: Barrier) -> None:
            if reached is wanted:
                install(None)
                strike()

        install(hook)

    yield arm
    install(None)


def lose_connection() -> None:
    raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))


@pytest.mark.parametrize(
    "barrier", [Barrier.DELIVER_TAKEN, Barrier.DELIVER_ACKNOWLEDGED, Barrier.COMMITMENT_REGISTERED]
)
def test_a_database_that_is_away_for_a_moment_postpones_a_delivery_and_ends_none(
    make_delivery: Callable[..., tuple[Application, int]],
    at: Callable[[Barrier, Callable[[], object]], None],
    barrier: Barrier,
) -> None:
    app, delivery_id = make_delivery()
    at(barrier, lose_connection)

    first = deliver_one(app, delivery_id)
    with app.database.read() as session:
        row = session.get_one(Delivery, delivery_id)
    make_due(app, delivery_id)
    deliver_one(app, delivery_id)

    assert (first, row.transient) == (DeliveryState.QUEUED, True)
    assert "the database was away" in (row.reason or "")
    assert states(app, delivery_id) == (DeliveryState.CONFIRMED, JobState.CONFIRMED)


def test_an_outcome_that_the_database_cannot_take_is_left_to_the_lease(
    make_delivery: Callable[..., tuple[Application, int]],
    at: Callable[[Barrier, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, delivery_id = make_delivery()

    def stay_away() -> None:
        monkeypatch.setattr(app.database, "write", lose_connection)
        lose_connection()

    at(Barrier.DELIVER_ACKNOWLEDGED, stay_away)

    assert deliver_one(app, delivery_id) == "not_written"
    assert states(app, delivery_id) == (DeliveryState.SENDING, JobState.DELIVERING)


def test_no_transaction_is_open_while_the_store_is_read(
    make_delivery: Callable[..., tuple[Application, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, delivery_id = make_delivery()
    connections: list[int] = []

    def read(*arguments: Any) -> bytes:
        connections.append(app.database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return get_content(*arguments)

    monkeypatch.setattr("workers.usecases.deliver.get_content", read)

    deliver_one(app, delivery_id)

    assert connections == [0]


@pytest.mark.parametrize(
    ("barrier", "arrived"),
    [(Barrier.DELIVER_TAKEN, 0), (Barrier.DELIVER_BETWEEN_OBJECTS, 1)],
)
def test_what_is_stopped_during_a_delivery_leaves_no_further_object(
    make_delivery: Callable[..., tuple[Application, int]],
    pacs: MiniPacs,
    at: Callable[[Barrier, Callable[[], object]], None],
    tmp_path: Path,
    barrier: Barrier,
    arrived: int,
) -> None:
    app, delivery_id = make_delivery()
    add_second_object(app, tmp_path)
    with app.database.read() as session:
        job_id = session.get_one(Delivery, delivery_id).job_id
    at(barrier, lambda: cancel(app, str(job_id)))

    outcome = deliver_one(app, delivery_id)

    assert outcome == "lease_lost"
    assert len(pacs.received()) == arrived
    assert states(app, delivery_id) == (DeliveryState.CANCELLED, JobState.CANCELLED)
