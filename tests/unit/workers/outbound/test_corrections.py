"""A message corrects what was told before, also when retention has removed that result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicom_node.read.header import Identity
from tests.unit.workers.delivery_cases import make_due
from tests.unit.workers.outbound.hl7_cases import NOW, revise, taken_back, to_ris
from tests.unit.workers.outbound.results import nodule
from tests.unit.workers.outbound.ris import Ris
from workers.application import Application
from workers.patient_key import patient_key
from workers.state.schema import Delivery, DeliveryState, Event, Instance, Result, ResultObject
from workers.usecases.deliver import deliver_one


def told_and_removed(app: Application, delivery_id: int, **changes: Any) -> None:
    """Let retention remove a result, as far as messages ask."""
    with app.database.write() as session:
        job_id = session.get_one(Delivery, delivery_id).job_id
        result = session.get_one(Result, job_id)
        paths = [result.findings_path]
        paths += [row.path for row in session.query(ResultObject).filter_by(job_id=job_id)]
        result.removed_at = NOW
        for name, value in changes.items():
            setattr(result, name, value)
    app.store.remove(paths)


def test_a_removed_result_is_corrected_as_one_that_is_still_there(tmp_path: Path, ris: Ris) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1))
    ris.reply = lambda _: None
    deliver_one(app, second)

    told_and_removed(app, first)
    ris.reply = lambda message: message.create_ack()
    make_due(app, second)
    assert deliver_one(app, second) == DeliveryState.CONFIRMED

    assert ris.statuses(2) == {"C", "D"}
    assert taken_back(ris.heard[2]) == {"2"}
    assert str(ris.heard[2]["OBR.F25"]) == "C"
    assert str(ris.heard[1]) == str(ris.heard[2])  # its control ID, too


def test_what_an_earlier_release_told_of_a_removed_result_makes_a_correction(
    tmp_path: Path, ris: Ris
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1))
    told_and_removed(app, first)
    with app.database.write() as session:
        session.get_one(Delivery, first).told = None

    deliver_one(app, second)

    assert ris.statuses(1) == {"C"}


def test_a_result_that_never_left_is_corrected_by_nothing(tmp_path: Path, ris: Ris) -> None:
    app, first = to_ris(tmp_path, ris.port)
    second = revise(app, nodule(1))
    told_and_removed(app, first)

    deliver_one(app, second)

    assert ris.statuses(0) == {"F"}


@pytest.mark.parametrize(("whose", "status"), [("OTHER", "F"), ("same", "C")])
def test_a_removed_result_of_another_patient_is_not_corrected_but_said(
    tmp_path: Path, ris: Ris, whose: str, status: str
) -> None:
    app, first = to_ris(tmp_path, ris.port)
    deliver_one(app, first)
    second = revise(app, nodule(1), nodule(2, long_axis_mm=15.0))
    with app.database.read() as session:
        (row,) = session.query(Instance).all()
        identity = Identity.from_json(row.header["identity"])
    key = patient_key([identity]) if whose == "same" else "another digest"
    told_and_removed(app, first, patient_key=key)

    deliver_one(app, second)

    assert ris.statuses(1) == {status}
    with app.database.read() as session:
        said = [row.message for row in session.query(Event) if "another patient" in row.message]
    assert len(said) == (whose == "OTHER")
