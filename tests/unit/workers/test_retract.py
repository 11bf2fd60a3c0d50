"""What is taken back of earlier revisions, at the destinations that want it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from dicom_node.compose.rejection_note import RejectionReason
from dicom_node.read.series import load_ct_series
from tests.integration.bad_series import plain_series, save
from tests.migrated import migrated_application
from tests.unit.workers.rows import SR_CLASS, add_delivery, add_job, add_result, empty_result
from workers.application import Application
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Job, JobState, ResultObject
from workers.usecases.retract import (
    REJECTION,
    Retraction,
    compose_retraction,
    find_retractions,
)

CREATED = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Application]]:
    """Applications whose destinations want these ways of retraction."""
    opened: list[Application] = []

    def build(*ways: str) -> Application:
        values = settings.model_dump()
        for destination, way in zip(values["destinations"], ways, strict=True):
            destination["retraction"] = way
        opened.append(migrated_application(Settings(**values)))
        return opened[-1]

    yield build
    for app in opened:
        app.database.close()


@pytest.fixture
def wanting(make: Callable[..., Application]) -> Application:
    return make("none", "rejection_note")


def sent(
    app: Application,
    revision: int = 1,
    *,
    destination: str = "second",
    attempts: int = 1,
    state: DeliveryState = DeliveryState.DELIVERED,
    **values: object,
) -> int:
    """An earlier revision whose report was (or was not yet) tried to be delivered."""
    job_id = add_job(app, JobState.SUPERSEDED, revision=revision)
    add_result(app, job_id, sop_uid=f"1.2.9.{revision}", data=str(revision).encode())
    add_delivery(app, job_id, destination, attempts=attempts, state=state, **values)
    return job_id


def find(
    app: Application, *, revision: int = 9, correction: str | None = None
) -> Retraction | None:
    job_id = add_job(app, JobState.ANALYSING, revision=revision, correction=correction)
    with app.database.read() as session:
        found = find_retractions(session, app.settings, session.get_one(Job, job_id))
    assert len(found) <= 1
    return found[0] if found else None


def rejected(found: Retraction | None) -> list[str]:
    assert found is not None
    return [item.sop_instance_uid for item in found.rejected]


def test_what_was_sent_before_is_taken_back(wanting: Application) -> None:
    sent(wanting)

    found = find(wanting)

    assert rejected(found) == ["1.2.9.1"]
    assert found is not None
    assert (found.rejected[0].sop_class_uid, found.reason) == (
        SR_CLASS,
        RejectionReason.SUPERSEDED,
    )


def test_an_attempt_that_failed_may_have_arrived_all_the_same(wanting: Application) -> None:
    job_id = sent(wanting, attempts=0, state=DeliveryState.CANCELLED)
    never_tried = find(wanting, revision=8)
    with wanting.database.write() as session:
        delivery = session.scalars(select(Delivery).where(Delivery.job_id == job_id)).one()
        delivery.attempts, delivery.state = 3, DeliveryState.FAILED

    assert never_tried is None
    assert rejected(find(wanting)) == ["1.2.9.1"]


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.SENDING])
def test_what_may_still_be_sent_during_the_analysis_is_taken_back(
    wanting: Application, state: DeliveryState
) -> None:
    sent(wanting, attempts=0, state=state)

    assert rejected(find(wanting)) == ["1.2.9.1"]


def test_an_attempt_before_a_retry_by_hand_counts_as_well(wanting: Application) -> None:
    sent(wanting, attempts=0, state=DeliveryState.CANCELLED, fencing_token=2)

    assert rejected(find(wanting)) == ["1.2.9.1"]


def test_a_destination_takes_back_only_what_it_got_itself(make: Callable[..., Application]) -> None:
    """An archive may refuse a note about objects that it never had."""
    app = make("rejection_note", "rejection_note")
    sent(app, 1, destination="main")
    sent(app, 2, destination="second", profile="air")
    with app.database.write() as session:
        session.get_one(ResultObject, "1.2.9.2").profiles = ["air"]
    both = add_job(app, JobState.SUPERSEDED, revision=3)
    add_result(app, both, sop_uid="1.2.9.3", data=b"3")
    add_delivery(app, both, "main", attempts=1)
    add_delivery(app, both, "second", attempts=1, profile="air")
    job_id = add_job(app, JobState.ANALYSING, revision=9)

    with app.database.read() as session:
        found = find_retractions(session, app.settings, session.get_one(Job, job_id))

    assert {item.destinations: rejected(item) for item in found} == {
        ("main",): ["1.2.9.1", "1.2.9.3"],
        ("second",): ["1.2.9.2"],
    }


def test_destinations_that_got_the_same_share_a_note(make: Callable[..., Application]) -> None:
    app = make("rejection_note", "rejection_note")
    add_delivery(app, sent(app, 1, destination="main"), "second", attempts=1)

    found = find(app)

    assert found is not None
    assert (found.destinations, rejected(found)) == (("main", "second"), ["1.2.9.1"])


@pytest.mark.parametrize("state", [DeliveryState.WITHHELD, DeliveryState.SHADOW])
def test_what_never_left_is_not_taken_back(wanting: Application, state: DeliveryState) -> None:
    sent(wanting, attempts=0, state=state)

    assert find(wanting) is None


def test_what_a_destination_got_under_a_former_name_is_taken_back(wanting: Application) -> None:
    sent(wanting, destination="second's former name")

    assert rejected(find(wanting)) == ["1.2.9.1"]


def test_every_earlier_revision_is_taken_back_and_no_later_one(wanting: Application) -> None:
    for revision in (1, 2, 4):
        sent(wanting, revision)

    assert rejected(find(wanting, revision=3)) == ["1.2.9.1", "1.2.9.2"]


def test_a_rejection_note_is_not_rejected_in_its_turn(wanting: Application) -> None:
    sent(wanting)
    with wanting.database.write() as session:
        session.scalars(select(ResultObject)).one().kind = REJECTION

    assert find(wanting) is None


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        ("patient_name", RejectionReason.WRONG_PATIENT),
        ("slice_thickness_mm, patient_id", RejectionReason.WRONG_PATIENT),
        ("study_date", RejectionReason.SUPERSEDED),
        (None, RejectionReason.SUPERSEDED),
    ],
)
def test_only_another_patient_is_called_a_wrong_patient(
    wanting: Application, correction: str | None, reason: RejectionReason
) -> None:
    sent(wanting)

    found = find(wanting, correction=correction)

    assert found is not None
    assert found.reason is reason


def test_nothing_is_taken_back_where_no_destination_wants_it(
    make: Callable[..., Application],
) -> None:
    app = make("none", "none")
    sent(app)

    assert find(app) is None


def test_a_first_revision_takes_nothing_back(wanting: Application) -> None:
    assert find(wanting, revision=1) is None


def test_the_note_names_the_old_report_under_the_patient_as_it_is_now(
    wanting: Application, tmp_path: Path
) -> None:
    sent(wanting)
    datasets = plain_series("note", slices=16)
    series = load_ct_series(save(datasets, tmp_path / "ct"))
    found = find(wanting, correction="patient_name")
    assert found is not None

    note = compose_retraction(series, empty_result(revision=2), found, created=CREATED)

    ds = dcmread(io.BytesIO(note.data))
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    references = [
        item.ReferencedSOPInstanceUID
        for group in evidence.ReferencedSeriesSequence
        for item in group.ReferencedSOPSequence
    ]
    assert note.kind == REJECTION
    assert references == ["1.2.9.1"]
    assert ds.PatientName == datasets[0].PatientName
