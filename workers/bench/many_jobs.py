"""A state database with very many jobs, made up, for measuring what reads it.

Rows only: no instance, object or findings stand behind them. All from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, insert, select, text

from workers.state.database import Database
from workers.state.fact_tables import ResultFacts
from workers.state.schema import Delivery, Event, Job, JobState, Result

DAYS = 60
CHUNK = 5000
SCANNERS = (
    ("CT_ER", "SIEMENS / SOMATOM Force / CTER1", 1.0),
    ("CT_WARD", "GE MEDICAL SYSTEMS / Revolution CT / WARD2", 1.25),
    ("CT_ONCO", "Canon / Aquilion ONE / ONCO3", 2.0),
    ("CT_OUT", "Philips / Incisive CT / OUT4", 1.5),
)
REASONS = {
    JobState.NOT_ELIGIBLE: ("localizer", "thickness", "other_body_part", "better_series"),
    JobState.QUARANTINED: ("conflicting_patient", "truncated"),
    JobState.FAILED: ("delivery_failed", "OutOfMemory"),
    JobState.CANCELLED: ("cancelled",),
    JobState.SUPERSEDED: ("superseded", "late_instance"),
}
ENDED = (
    (JobState.CONFIRMED, 70),
    (JobState.NOT_ELIGIBLE, 22),
    (JobState.SUPERSEDED, 4),
    (JobState.FAILED, 2),
    (JobState.QUARANTINED, 1),
    (JobState.CANCELLED, 1),
)
UNDER_WAY = (
    (JobState.RECEIVING, 2),
    (JobState.COMPLETE, 1),
    (JobState.QUEUED, 4),
    (JobState.ANALYSING, 1),
    (JobState.DELIVERING, 2),
)
JOB_NUMBERS_GO_ON = "SELECT setval(pg_get_serial_sequence('job', 'id'), max(id)) FROM job"
WAITING = ((JobState.QUEUED, 1), (JobState.DELIVERING, 1))
DESTINATION = "pacs"
WITH_RESULT = frozenset(
    {JobState.CONFIRMED, JobState.DELIVERED, JobState.DELIVERING, JobState.FAILED}
)


def fill(
    database: Database,
    jobs: int,
    *,
    now: float,
    seed: int = 0,
    under_way: bool = True,
    proved: bool = True,
) -> None:
    """Put made-up jobs into a migrated database, spread over the last `DAYS` days.

    Parameters
    ----------
    jobs : int
        How many.
    now : float
        Seconds since the epoch; the newest job is of now.
    under_way : bool
        Whether one in ten is on its way; a running service would take those up.
    proved : bool
        Whether the destination proved what it took; else what is over stays delivered.
    """
    choices: tuple[tuple[JobState, int], ...] = (*ENDED, *UNDER_WAY) if under_way else ENDED
    if not proved:
        choices = tuple((_unproved(state), weight) for state, weight in choices)
    _insert(database, jobs, choices, now=now, days=DAYS, seed=seed)


def fill_waiting(database: Database, jobs: int, *, now: float, seed: int = 0) -> None:
    """Put made-up jobs of the last hour into a database, all waiting for analysis or delivery."""
    _insert(database, jobs, WAITING, now=now, days=1 / 24, seed=seed)


def _unproved(state: JobState) -> JobState:
    return JobState.DELIVERED if state is JobState.CONFIRMED else state


def _insert(
    database: Database,
    jobs: int,
    choices: Sequence[tuple[JobState, int]],
    *,
    now: float,
    days: float,
    seed: int,
) -> None:
    first = _next_number(database)
    # other UIDs than those that stand there
    chance = random.Random(seed + first - 1)  # noqa: S311 - made-up rows guard nothing
    for rows in _chunks(chance, jobs, choices, first=first, now=now, days=days):
        with database.write() as session:
            for table, found in rows.items():
                if found:  # past the ORM, which would take longer than the database
                    session.connection().execute(insert(table), found)
    if database.engine.dialect.name == "postgresql":
        with database.write() as session:  # it does not count numbers that were given to it
            session.execute(text(JOB_NUMBERS_GO_ON))


def _next_number(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(select(func.max(Job.id))) or 0) + 1


def _chunks(
    chance: random.Random,
    jobs: int,
    choices: Sequence[tuple[JobState, int]],
    *,
    first: int,
    now: float,
    days: float,
) -> Iterator[dict[type[Any], list[dict[str, Any]]]]:
    rows: dict[type[Any], list[dict[str, Any]]] = _empty()
    for index in range(jobs):
        number = first + index
        at = now - days * 86400.0 * (1 - (index + 1) / jobs)
        _add(rows, chance, number, at, _choose(chance, choices), now)
        if len(rows[Job]) == CHUNK:
            yield rows
            rows = _empty()
    yield rows


def _empty() -> dict[type[Any], list[dict[str, Any]]]:
    return {table: [] for table in (Job, Event, Result, ResultFacts, Delivery)}


def _choose(chance: random.Random, choices: Sequence[tuple[JobState, int]]) -> JobState:
    states, weights = zip(*choices, strict=True)
    return JobState(chance.choices(states, weights)[0])


def _add(
    rows: dict[type[Any], list[dict[str, Any]]],
    chance: random.Random,
    number: int,
    at: float,
    state: JobState,
    now: float,
) -> None:
    caller, scanner, spacing = chance.choice(SCANNERS)
    ended = min(now, at + chance.uniform(60, 900))
    code = chance.choice(REASONS[state]) if state in REASONS else None
    rows[Job].append(
        {
            "id": number,
            "study_uid": f"2.25.{chance.getrandbits(120) | 1 << 119}",
            "series_uid": f"2.25.{chance.getrandbits(120) | 1 << 119}",
            "revision": 1,
            "state": str(state),
            "reason_code": code,
            "reason": f"made up: {code}" if code else None,
            "warnings": [],
            "calling_ae": caller,
            "modality": "CT" if chance.random() < 0.97 else "SR",
            "instance_count": chance.randint(60, 600),
            "priority": chance.choice((-1, 0, 0, 0, 0, 1)),
            "created_at": at,
            "last_instance_at": min(now, at + 30),
            "state_since": ended,
            "end_considered": True,
            "next_attempt_at": 0.0,
        }
    )
    for step, (name, said) in enumerate(
        (("receiving", "first instance"), ("queued", "queued"), (str(state), "made up"))
    ):
        rows[Event].append(
            {
                "job_id": number,
                "at": at + step * (ended - at) / 2,
                "state": name,
                "message": said,
            }
        )
    if state not in WITH_RESULT:
        return
    nodules = chance.choices((0, 1, 2, 3, 5), (45, 30, 14, 8, 3))[0]
    levels = [0, 0, 0, 0]
    for _ in range(nodules):
        levels[chance.choices(range(4), (3, 4, 2, 1))[0]] += 1
    rows[Result].append(
        {
            "job_id": number,
            "fencing_token": 1,
            "committed_at": ended,
            "findings_path": f"results/00/{number}.json",
            "findings_sha256": "0" * 64,
            "identity_sha256": "0" * 64,
            "nodule_count": nodules,
            "recorded": True,
            "has_facts": True,
        }
    )
    rows[ResultFacts].append(
        {
            "job_id": number,
            "committed_at": ended,
            "scanner": scanner,
            "kernel": "",
            "nodules": nodules,
            **{f"level_{level + 1}": count for level, count in enumerate(levels)},
            "withheld": 0,
            "slice_spacing_mm": spacing,
            "air_hu": chance.gauss(-980, 6),
            "blood_hu": chance.gauss(40, 5),
            "analysis_s": chance.uniform(8, 40),
            "device": "cpu",
            "engine": "openvino",
            "version": "0.1.0",
        }
    )
    delivered = state in {JobState.CONFIRMED, JobState.DELIVERED}
    rows[Delivery].append(
        {
            "job_id": number,
            "destination": DESTINATION,
            "profile": "default",
            "state": str(state) if delivered else "failed" if code else "queued",
            "reason": None if delivered else "made up",
            "attempts": 1,
            "created_at": ended - 10,
            "delivered_at": ended if delivered else None,
            "confirmed_at": ended if state is JobState.CONFIRMED else None,
        }
    )
