"""What is known of a patient goes when nothing needs it, all of it at once, and never before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from dicom_node.read.header import Identity
from tests.unit.workers.context.known import give, known, numbers
from tests.unit.workers.context.messages import laboratory, message
from tests.unit.workers.rows import add_job, with_settings
from workers.application import Application
from workers.patient_key import patient_key
from workers.state.context_tables import (
    ContextLink,
    ContextMessage,
    ContextPerson,
    ContextReport,
    ContextValue,
)
from workers.state.schema import Instance, JobState, Result
from workers.usecases.audit import at_the_command_line
from workers.usecases.back_up import hold_removal
from workers.usecases.link_patients import confirm_patient, merge_patients
from workers.usecases.prune_context import prune_context
from workers.usecases.retain import DAY_S

DAYS = 400
TABLES = (ContextMessage, ContextPerson, ContextValue, ContextReport)
ME = at_the_command_line()


@pytest.fixture
def policy(app: Application) -> Application:
    """An application that keeps what it knows for 400 days."""
    return replace(app, settings=with_settings(app.settings, keep_context_days=DAYS))


def grow_old(app: Application, days: float = DAYS + 1, **of: Any) -> None:
    """Let all messages, or those of a control ID, have come long ago."""
    with app.database.write() as session:
        query = update(ContextMessage).values(received_at=app.now() - days * DAY_S)
        session.execute(query.filter_by(**of))


def counts(app: Application) -> dict[str, int]:
    with app.database.read() as session:
        return {table.__tablename__: session.query(table).count() for table in TABLES}


def add_study(app: Application, patient_id: str, state: JobState, *, removed: bool = False) -> None:
    """A study of a patient, with a result where its state says so."""
    job_id = add_job(app, state, series_uid=f"1.{patient_id}.{state}")
    identity = Identity(patient_id=patient_id, issuer_of_patient_id="HOSP")
    header = {"identity": identity.to_json()}
    for name in ("sop_instance_uid", "sop_class_uid", "series_instance_uid",
                 "study_instance_uid", "transfer_syntax_uid"):  # fmt: skip
        header[name] = "1"  # type: ignore[assignment]
    with app.database.write() as session:
        gone = app.now() if removed else None
        session.add(
            Instance(
                sop_uid=f"{job_id}.1", study_uid="1.2", series_uid=f"1.{patient_id}.{state}",
                path="x", size_bytes=1, header_sha256="x", pixels_sha256="x", received_at=1.0,
                header=header, removed_at=gone,
            )
        )  # fmt: skip
        if state is JobState.CONFIRMED:
            session.add(
                Result(
                    job_id=job_id, fencing_token=1, committed_at=1.0, findings_path="x",
                    findings_sha256="x", identity_sha256="x", nodule_count=0, removed_at=gone,
                    patient_key=patient_key([identity]),
                )
            )  # fmt: skip


HISTORY = message("ADT^A08", "DG1|1||J43.9^Emphysema^I10|||F", control="ADT-1")
OLD_LAB = laboratory(control="LAB-1", at="20240105080000")


def test_what_nothing_needs_goes_as_a_whole_and_other_patients_stay(policy: Application) -> None:
    give(policy, HISTORY, OLD_LAB)
    grow_old(policy)
    give(policy, laboratory(control="LAB-2", patient="4712"))

    assert prune_context(policy) == 1

    assert counts(policy) == {
        "context_message": 1, "context_person": 1, "context_value": 1, "context_report": 0
    }  # fmt: skip
    assert prune_context(policy) == 0


def test_without_a_policy_nothing_goes(app: Application) -> None:
    give(app, OLD_LAB)
    grow_old(app)

    assert prune_context(app) == 0


def test_one_young_message_keeps_all_of_a_patient_so_that_nothing_corrected_comes_back(
    policy: Application,
) -> None:
    give(policy, OLD_LAB)
    grow_old(policy)
    give(policy, laboratory(control="LAB-2", at="20240106080000", status="D"))

    assert prune_context(policy) == 0
    assert numbers(known(policy)) == {}


def test_a_value_within_its_limit_of_age_keeps_it(policy: Application) -> None:
    today = "20991231080000"  # the laboratory's clock may be ahead
    give(policy, HISTORY, laboratory(control="LAB-1", at=today))
    grow_old(policy)

    assert prune_context(policy) == 0


@pytest.mark.parametrize(
    ("state", "removed", "goes"),
    [
        (JobState.CONFIRMED, False, 0),
        (JobState.CONFIRMED, True, 1),
        (JobState.RECEIVING, False, 0),
        (JobState.ANALYSING, False, 0),
        (JobState.FAILED, False, 0),
        (JobState.CANCELLED, False, 1),
    ],
)
def test_a_study_that_is_kept_or_under_way_keeps_what_is_known_of_its_patient(
    policy: Application, state: JobState, removed: bool, goes: int
) -> None:
    give(policy, OLD_LAB)
    grow_old(policy)
    add_study(policy, "4711", state, removed=removed)

    assert prune_context(policy) == goes


def test_a_study_under_the_other_id_of_a_merged_patient_keeps_both(policy: Application) -> None:
    give(policy, OLD_LAB, laboratory(control="LAB-2", patient="0815", at="20240105080000"))
    merge_patients(policy, ("0815", "HOSP"), ("4711", "HOSP"), actor=ME)
    grow_old(policy)
    add_study(policy, "0815", JobState.CONFIRMED)

    assert prune_context(policy) == 0


def test_merges_stay_and_confirmations_go(policy: Application) -> None:
    merge = message("ADT^A40", "MRG|0815^^^HOSP^MR", control="M1")
    give(policy, OLD_LAB, merge)
    confirm_patient(policy, ("4711", "HOSP"), actor=ME)
    grow_old(policy)

    assert prune_context(policy) == 1

    with policy.database.read() as session:
        (link,) = session.query(ContextLink).all()
        assert (link.kind, link.from_id, link.message_id) == ("merge", "0815", None)
    assert counts(policy)["context_message"] == 0
    give(policy, laboratory("8.1", control="LAB-9", patient="0815"))
    assert numbers(known(policy)) == {"cea": 8.1}  # the merge still counts


@pytest.mark.parametrize("pending", ["held", "not considered", "backup"])
def test_what_is_held_or_pending_stays(policy: Application, pending: str) -> None:
    give(policy, OLD_LAB)
    if pending == "held":
        give(policy, laboratory(control="LAB-2", authority="NOBODY"))
    grow_old(policy)
    if pending == "not considered":
        policy = replace(policy, settings=with_settings(policy.settings, context_revises=True))
        with policy.database.write() as session:
            session.query(ContextMessage).one().considered = False
    hold_removal(policy, on=pending == "backup")

    gone = prune_context(policy)

    with policy.database.read() as session:
        left = {row.control_id for row in session.query(ContextMessage)}
    assert (gone, left) == ((1, {"LAB-2"}) if pending == "held" else (0, {"LAB-1"}))
