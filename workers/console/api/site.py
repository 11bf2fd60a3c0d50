"""Queues, alarms, destinations, storage, settings, and the doctor's examination."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path

from workers.console.access import Admin, App, Operator, Viewer
from workers.console.api.paths import PREFIX, REFUSALS
from workers.console.api.site_models import (
    AlarmRow,
    CheckRow,
    DestinationRow,
    EchoDone,
    Queues,
    QueueState,
    SettingRow,
    StatisticsRow,
    StorageState,
    WorkerRow,
    Workers,
)
from workers.doctor import examine
from workers.usecases import administer, describe
from workers.usecases.at_work import list_work
from workers.usecases.backlog import Backlog, list_backlogs
from workers.usecases.echo import echo_destination
from workers.usecases.heartbeat import workers_alive
from workers.usecases.share_settings import with_site_settings
from workers.usecases.show_settings import show_settings
from workers.usecases.storage import look_at_storage

router = APIRouter(prefix=PREFIX, tags=["site"], responses=REFUSALS)
QueueName = Literal["analyse", "deliver"]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="destination's name")]


@router.get("/queues", response_model=Queues)
def queues(app: App, _caller: Viewer) -> Any:
    """Which queues are held back, and how many jobs stand in each state."""
    with app.database.read() as session:
        return {
            "paused": administer.paused_queues(session),
            "jobs": describe.count_jobs(session),
        }


@router.post("/queues/{queue}/pause", response_model=QueueState)
def pause(app: App, caller: Operator, queue: QueueName) -> Any:
    """Hold a queue back; what runs is not interrupted."""
    administer.set_pause(app, queue, paused=True, by=caller.actor)
    return {"queue": queue, "paused": True}


@router.post("/queues/{queue}/resume", response_model=QueueState)
def resume(app: App, caller: Operator, queue: QueueName) -> Any:
    """Let a queue go on."""
    administer.set_pause(app, queue, paused=False, by=caller.actor)
    return {"queue": queue, "paused": False}


@router.get("/alarms", response_model=list[AlarmRow])
def alarms(app: App, _caller: Viewer) -> Any:
    """What needs a person now, oldest first."""
    with app.database.read() as session:
        return describe.list_alarms(session)


@router.get("/statistics", response_model=list[StatisticsRow])
def statistics(app: App, _caller: Viewer) -> Any:
    """Results, nodules and objects per destination, those in shadow included."""
    with app.database.read() as session:
        return describe.count_deliveries(session, with_site_settings(app).settings)


@router.get("/destinations", response_model=list[DestinationRow])
def destinations(app: App, _caller: Viewer) -> Any:
    """Where results go, and what waits for each destination."""
    settings = with_site_settings(app).settings
    with app.database.read() as session:
        return [_destination(item) for item in list_backlogs(session, settings, now=app.now())]


@router.post("/destinations/{name}/echo", response_model=EchoDone)
def echo(app: App, caller: Operator, name: Name) -> Any:
    """C-ECHO to a destination, from the console's machine."""
    return asdict(echo_destination(app, name, by=caller.actor))


@router.get("/workers", response_model=Workers)
def workers(app: App, _caller: Viewer) -> Any:
    """Workers that were heard of lately, and what is being worked on."""
    now = app.now()
    heartbeat_s = with_site_settings(app).settings.heartbeat_s
    with app.database.read() as session:
        return {
            "workers": [
                WorkerRow.model_validate(row, from_attributes=True)
                for row in workers_alive(session, now=now, heartbeat_s=heartbeat_s)
            ],
            "work": [asdict(item) for item in list_work(session, now=now)],
        }


@router.get("/storage", response_model=StorageState)
def storage(app: App, _caller: Viewer) -> Any:
    """Disks, spool, database and object store, as the console's machine sees them."""
    return asdict(look_at_storage(app, now=app.now()))


@router.get("/settings", response_model=list[SettingRow])
def settings(app: App, _caller: Admin) -> Any:
    """Settings as they count, secrets hidden."""
    return show_settings(app)


@router.get("/doctor", response_model=list[CheckRow])
def doctor(app: App, _caller: Operator) -> Any:
    """Settings, disk, database, broker and every peer, examined from the console's machine."""
    return [asdict(check) for check in examine(with_site_settings(app).settings)]


def _destination(item: Backlog) -> dict[str, Any]:
    known = item.settings
    return {
        "name": item.name,
        "configured": known is not None,
        "kind": known.kind if known else "",
        "ae_title": known.peer_name if known else "",
        "host": known.host if known else "",
        "port": known.port if known else 0,
        "profile": known.profile if known else "",
        "mode": known.mode if known else "not configured",
        "counts": item.counts,
        "waiting": item.waiting,
        "failed": item.failed,
        "oldest_s": item.oldest_s,
        "last_success_at": item.last_success_at,
        "last_reason": item.last_reason,
    }
