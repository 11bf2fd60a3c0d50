"""Results that go out at once, wait for the radiologist's signature, or never leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.mini_pacs import MiniPacs
from tests.migrated import migrated_application
from tests.unit.workers.delivery_cases import states
from tests.unit.workers.rows import NOW, add_delivery, add_job, add_result
from workers.application import Application
from workers.errors import IllegalTransition, NoSuchJob
from workers.profiles import profiles_in_use
from workers.settings import Settings
from workers.state.schema import Delivery, DeliveryState, Job, JobState, ResultObject, SignedReport
from workers.usecases import administer
from workers.usecases.begin_deliveries import begin_deliveries, release, release_by_mode
from workers.usecases.deliver import deliver_one
from workers.usecases.describe import count_deliveries, show_job
from workers.usecases.revise import drop_deliveries
from workers.usecases.settle import roll_up

QUEUED, WITHHELD, SHADOW = DeliveryState.QUEUED, DeliveryState.WITHHELD, DeliveryState.SHADOW


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Application]]:
    """Applications whose two destinations have these modes and profiles."""
    opened: list[Application] = []

    def build(*modes: str, profiles: tuple[str, str] = ("default", "default")) -> Application:
        values = settings.model_dump()
        for item, mode, profile in zip(values["destinations"], modes, profiles, strict=True):
            item["mode"], item["profile"] = mode, profile
        opened.append(migrated_application(Settings(**values)))
        return opened[-1]

    yield build
    for app in opened:
        app.database.close()


def begin(app: Application, **values: object) -> int:
    """An analysed job whose deliveries begin; returns its number."""
    job_id = add_job(app, JobState.ANALYSED, **values)
    add_result(app, job_id, sop_uid=f"1.2.9.{job_id}", data=str(job_id).encode())
    with app.database.write() as session:
        job = session.get_one(Job, job_id)
        begin_deliveries(session, app.settings, job, NOW, message="deliveries queued")
    return job_id


def standing(app: Application, job_id: int) -> tuple[str, dict[str, str]]:
    """State of the job, and of each of its deliveries."""
    with app.database.read() as session:
        job = show_job(session, str(job_id))
    return job["state"], {item["destination"]: item["state"] for item in job["deliveries"]}


@pytest.mark.parametrize(
    ("modes", "job_state", "delivery_states"),
    [
        (("normal", "normal"), JobState.DELIVERING, (QUEUED, QUEUED)),
        (("normal", "withheld"), JobState.DELIVERING, (QUEUED, WITHHELD)),
        (("normal", "shadow"), JobState.DELIVERING, (QUEUED, SHADOW)),
        (("withheld", "shadow"), JobState.ANALYSED, (WITHHELD, SHADOW)),
        (("shadow", "shadow"), JobState.ANALYSED, (SHADOW, SHADOW)),
    ],
)
def test_the_mode_of_each_destination_decides(
    make: Callable[..., Application],
    modes: tuple[str, str],
    job_state: JobState,
    delivery_states: tuple[DeliveryState, DeliveryState],
) -> None:
    app = make(*modes)

    job_id = begin(app)

    assert standing(app, job_id) == (
        job_state,
        dict(zip(("main", "second"), delivery_states, strict=True)),
    )


def test_why_a_result_stays_is_visible(make: Callable[..., Application]) -> None:
    app = make("withheld", "shadow")
    with app.database.read() as session:
        job = show_job(session, str(begin(app)))

    assert job["reason_code"] == "withheld"
    assert "pulmonode jobs release" in job["reason"]
    assert [item["reason"] for item in job["deliveries"]] == [
        "kept until the radiologist's report is signed ('pulmonode jobs release')",
        "shadow: nothing leaves, the result is only counted",
    ]
    assert any(
        line["message"].startswith("second: shadow: nothing leaves") for line in job["history"]
    )


def test_a_signed_report_lets_the_whole_study_go(make: Callable[..., Application]) -> None:
    app = make("withheld", "shadow")
    one, two = begin(app), begin(app, series_uid="1.2.4")
    other = begin(app, series_uid="1.9.1", study_uid="1.9")

    assert release(app, str(one)) == ("1.2", 2)

    for job_id in (one, two):
        assert standing(app, job_id) == ("delivering", {"main": QUEUED, "second": SHADOW})
    assert standing(app, other) == ("analysed", {"main": WITHHELD, "second": SHADOW})


def test_a_result_that_comes_after_the_signature_is_not_withheld(
    make: Callable[..., Application],
) -> None:
    app = make("withheld", "normal")
    waiting = add_job(app, JobState.RECEIVING, series_uid="1.2.8")

    assert release(app, str(waiting)) == ("1.2", 0)
    assert release(app, str(waiting)) == ("1.2", 0)
    assert standing(app, begin(app)) == ("delivering", {"main": QUEUED, "second": QUEUED})
    with app.database.read() as session:
        assert session.get_one(SignedReport, "1.2").told_by == "command line"


def test_a_study_that_is_not_there_is_not_released(app: Application) -> None:
    with pytest.raises(NoSuchJob):
        release(app, "77")


def test_a_job_is_done_only_when_what_is_withheld_went_as_well(
    make: Callable[..., Application],
) -> None:
    app = make("normal", "withheld")
    job_id = begin(app)
    _settle(app, job_id, "main", DeliveryState.CONFIRMED)

    assert standing(app, job_id)[0] == "delivering"
    release(app, str(job_id))
    _settle(app, job_id, "second", DeliveryState.CONFIRMED)
    assert standing(app, job_id)[0] == "confirmed"


def test_a_destination_in_shadow_keeps_no_job_open(make: Callable[..., Application]) -> None:
    app = make("normal", "shadow")
    job_id = begin(app)

    _settle(app, job_id, "main", DeliveryState.CONFIRMED)

    assert standing(app, job_id) == ("confirmed", {"main": "confirmed", "second": SHADOW})


def test_a_failure_is_told_though_another_destination_withholds(
    make: Callable[..., Application],
) -> None:
    app = make("normal", "withheld")
    job_id = begin(app)

    _settle(app, job_id, "main", DeliveryState.FAILED)

    assert standing(app, job_id)[0] == "failed"
    release(app, str(job_id))
    assert standing(app, job_id) == ("delivering", {"main": "failed", "second": QUEUED})


def _settle(app: Application, job_id: int, destination: str, state: DeliveryState) -> None:
    with app.database.write() as session:
        delivery = session.scalars(
            select(Delivery).where(Delivery.job_id == job_id, Delivery.destination == destination)
        ).one()
        delivery.state = state
        roll_up(session, session.get_one(Job, job_id), NOW)


def test_a_later_revision_ends_what_was_withheld(make: Callable[..., Application]) -> None:
    app = make("withheld", "shadow")
    job_id = begin(app)
    with app.database.write() as session:
        assert drop_deliveries(session, session.get_one(Job, job_id), "superseded") == 1

    assert standing(app, job_id)[1] == {"main": "cancelled", "second": SHADOW}
    assert release(app, str(job_id)) == ("1.2", 0)


def test_a_cancelled_result_that_is_retried_is_withheld_again(
    make: Callable[..., Application],
) -> None:
    app = make("withheld", "shadow")
    job_id = begin(app)
    administer.cancel(app, str(job_id))

    administer.retry(app, str(job_id))

    assert standing(app, job_id) == ("analysed", {"main": WITHHELD, "second": SHADOW})
    with pytest.raises(IllegalTransition):
        administer.retry(app, str(job_id))


@pytest.mark.parametrize(("mode", "outcome"), [("withheld", WITHHELD), ("shadow", SHADOW)], ids=str)
def test_a_mode_that_changed_holds_what_was_queued_before(
    make_delivery: Callable[..., tuple[Application, int]], pacs: MiniPacs, mode: str, outcome: str
) -> None:
    app, delivery_id = make_delivery(mode=mode)

    assert deliver_one(app, delivery_id) == "not_due"
    assert states(app, delivery_id) == (outcome, "analysed")
    assert pacs.received() == []


def test_a_destination_that_withholds_nothing_any_more_gets_what_waited(
    make: Callable[..., Application],
) -> None:
    app = make("withheld", "withheld")
    job_id = begin(app)
    assert release_by_mode(app, now=NOW) == 0
    later = make("normal", "shadow")

    assert release_by_mode(later, now=NOW) == 1
    assert standing(later, job_id) == ("delivering", {"main": QUEUED, "second": WITHHELD})


def test_each_destination_gets_the_objects_of_its_own_profile(
    make: Callable[..., Application],
) -> None:
    app = make("normal", "shadow", profiles=("default", "air"))
    job_id = add_job(app, JobState.ANALYSED)
    add_result(app, job_id, sop_uid="1.2.9.1", data=b"1")
    with app.database.write() as session:
        for uid, names in (("1.2.9.2", ["air"]), ("1.2.9.3", ["air", "default"])):
            session.add(_object(session.get_one(ResultObject, "1.2.9.1"), uid, names))
        job = session.get_one(Job, job_id)
        begin_deliveries(session, app.settings, job, NOW, message="deliveries queued")

    with app.database.read() as session:
        counted = count_deliveries(session, app.settings)

    assert [
        (row["destination"], row["mode"], row["state"], row["results"], row["objects"])
        for row in counted
    ] == [("main", "normal", "queued", 1, 2), ("second", "shadow", "shadow", 1, 2)]


def _object(like: ResultObject, uid: str, profiles: list[str]) -> ResultObject:
    columns = {column.name: getattr(like, column.name) for column in ResultObject.__table__.columns}
    return ResultObject(**{**columns, "sop_uid": uid, "profiles": profiles})


def test_a_result_from_before_the_profile_was_chosen_goes_out_as_it_was_composed(
    make: Callable[..., Application],
) -> None:
    """Nothing is lost: it goes in the dress that it has, and the history says so."""
    app = make("normal", "normal", profiles=("default", "ohif"))

    job_id = begin(app)

    with app.database.read() as session:
        job = show_job(session, str(job_id))
    assert [item["profile"] for item in job["deliveries"]] == ["default", "default"]
    assert any(
        "second: composed before profile ohif was chosen, it gets default" in line["message"]
        for line in job["history"]
    )


def test_of_revisions_only_the_newest_is_counted(make: Callable[..., Application]) -> None:
    app = make("shadow", "shadow")
    begin(app)
    begin(app, revision=2)
    add_delivery(app, begin(app, series_uid="1.2.4"), "gone", state=SHADOW)

    with app.database.read() as session:
        counted = count_deliveries(session, app.settings)

    assert {(row["destination"], row["mode"]): row["results"] for row in counted} == {
        ("main", "shadow"): 2,
        ("second", "shadow"): 2,
        ("gone", "not configured"): 1,
    }


def test_a_folder_of_the_sites_profiles_is_read(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "ward.yaml").write_text("language: zh\n")
    values = settings.model_dump()
    values["profiles_dir"] = tmp_path
    values["destinations"][0]["profile"] = "ward"

    assert [item.name for item in profiles_in_use(Settings(**values))] == ["default", "ward"]
