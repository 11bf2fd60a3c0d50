"""The replayed day: a service of its own, a day's studies, and a PACS that goes away for a while.

Only the inference stage is shortened (`short_inference`). What a site waits by the clock (quiet
time, hold, wait for missing slices, pauses between attempts) is shortened as well, since the day
runs faster than the clock; each figure says so.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs
from workers.application import open_application
from workers.bench.claims import ask_all
from workers.bench.many_jobs import fill
from workers.bench.scale.day import DAY_S, SCANNERS, Study, plan_day
from workers.bench.scale.sending import Acknowledged, Scanners
from workers.bench.scale.short_service import MODULE
from workers.bench.scale.stages import time_stages
from workers.bench.scale.studies import Pauses, make_chest
from workers.bench.scale.verdict import has_ended, in_numbers, judge
from workers.bench.scale.watching import Samples, Watcher, memory_summary
from workers.own_service import free_port, own_service
from workers.peer_settings import DestinationSettings
from workers.settings import Settings
from workers.state.database import Database

PACS_AE = "MINIPACS"
QUIET_S = 1.5
INCOMPLETE_S = 8.0
NOT_ANALYSED_S = 3.0
PAUSES = Pauses(between_s=0.4, late_s=2 * QUIET_S, very_late_s=10.0)
WAITS = {
    "PULMONODE_QUIET_TIME_S": f"{QUIET_S:g}",
    "PULMONODE_STUDY_HOLD_S": "0.5",
    "PULMONODE_INCOMPLETE_WAIT_S": f"{INCOMPLETE_S:g}",
    "PULMONODE_NOT_ANALYSED_WAIT_S": f"{NOT_ANALYSED_S:g}",
    "PULMONODE_TICK_S": "0.5",
    "PULMONODE_RETRY_BASE_S": "0.5",
    "PULMONODE_RETRY_CAP_S": "5",
    "PULMONODE_COMMITMENT_WAIT_S": "20",
    "PULMONODE_HINT_AGAIN_S": "10",
}
PACS_GOES_S = 13 * 3600.0
PACS_AWAY_S = 3600.0
"""Seconds of the day: when the PACS goes away, and for how long."""
PACS_AWAY_AT_LEAST_S = 4.0
REPORT_ATTEMPTS = 10
"""The PACS calls from the same address as the scanners, which may have taken its associations."""
END_LIMIT_S = 1800.0
"""Seconds of the clock after the last image."""
SETTLE_S = NOT_ANALYSED_S + 1.0
"""So long it is waited whether something more comes that must not come."""
LOOK_S = 0.5
ASKED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """What is replayed.

    Attributes
    ----------
    studies : int
        Chest CTs of the day.
    speed : float
        Seconds of the day in one second of the clock.
    workers : int
        Analyses at the same time.
    burst : int
        Scanners that send at once in a burst.
    slices, pixels : int
        Of each CT.
    history : int
        Made-up jobs of earlier days that the database holds before.
    state_url, broker_url : str, optional
        PostgreSQL (an empty database; it is filled) and Redis; the embedded ones without.
    """

    studies: int = 600
    speed: float = 144.0
    workers: int = 1
    burst: int = 6
    slices: int = 40
    pixels: int = 128
    seed: int = 0
    history: int = 0
    state_url: str | None = None
    broker_url: str | None = None


def bench_scale(
    plan: ScalePlan, progress: Callable[[str], None], *, scratch: Path | None = None
) -> dict[str, Any]:
    """Replay a day and say what became of it.

    Returns
    -------
    dict
        ``plan``, ``machine``, ``received``, ``verdict``, ``waits``, ``stages_s``, ``memory_mb``,
        ``cpu_s``, ``claims``, ``wall_s`` and what was seen over time (``samples``).

    Raises
    ------
    ServiceNotStarted
        If the service does not start.
    """
    studies = plan_day(plan.studies, burst=plan.burst, seed=plan.seed)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="pulmonode-bench-", dir=scratch) as folder:
        root = Path(folder)
        peer = Peer(ae_title="PULMONODE", host="127.0.0.1", port=free_port())
        pacs = MiniPacs(folder=root / "pacs", ae_title=PACS_AE, port=free_port())
        pacs.commitment_peer = peer
        pacs.report_attempts = REPORT_ATTEMPTS
        settings = _settings(root / "data", plan, pacs)
        _fill(settings, plan)
        scanners = Scanners(
            peer,
            make_chest(plan.slices, plan.pixels),
            root / "outgoing",
            speed=plan.speed,
            pauses=PAUSES,
        )
        database = Database(settings.database_url)
        pacs.start()
        try:
            with (
                own_service(
                    root / "data", pacs, root / "service.log", peer=peer,
                    environment=_environment(plan), command=(MODULE, str(plan.workers)),
                ),
                Watcher(database, settings.spool_dir / "inbox") as watcher,
            ):  # fmt: skip
                sent_s, wall_s = _run(plan, studies, scanners, pacs, database, progress)
                time.sleep(SETTLE_S)
            progress("asking the database")
            claims = _ask(settings)
            verdict = judge(scanners.told, database, pacs.received())
            stages_s = time_stages(database, [item.series_uid for item in scanners.told.sent])
        finally:
            pacs.stop()
            database.close()
    return {
        # URLs hold passwords
        "plan": asdict(plan)
        | {"state_url": bool(plan.state_url), "broker_url": bool(plan.broker_url), "waits": WAITS},
        "machine": {"cores": os.cpu_count(), "load_before": load, "load_after": os.getloadavg()[0]},
        "received": _received(scanners.told),
        "verdict": in_numbers(verdict),
        "waits": _waits(watcher.samples),
        "stages_s": stages_s,
        "memory_mb": memory_summary(watcher.samples, studies=len(studies)),
        "cpu_s": watcher.samples.cpu_s,
        "claims": claims,
        "sent_s": round(sent_s, 1),
        "wall_s": round(wall_s, 1),
        "speed_up": round(DAY_S / sent_s, 1),
        "samples": asdict(watcher.samples),
    }


def _settings(data: Path, plan: ScalePlan, pacs: MiniPacs) -> Settings:
    """What the service is run with, as far as it is asked about afterwards."""
    destination = DestinationSettings(
        name="minipacs", ae_title=pacs.ae_title, host=pacs.host, port=pacs.port
    )
    return Settings(data_dir=data, state_url=plan.state_url, destinations=(destination,))


def _environment(plan: ScalePlan) -> dict[str, str]:
    servers = {"PULMONODE_STATE_URL": plan.state_url, "PULMONODE_BROKER_URL": plan.broker_url}
    return {
        **WAITS,
        "PULMONODE_CALLING_AE_TITLES": ",".join((*SCANNERS, PACS_AE)),
        "PULMONODE_LOG_LEVEL": "warning",
        **{name: url for name, url in servers.items() if url},
    }


def _fill(settings: Settings, plan: ScalePlan) -> None:
    app = open_application(settings, migrate=True)
    try:
        if plan.history:
            fill(app.database, plan.history, now=app.now() - 3600.0, under_way=False)
    finally:
        app.database.close()


def _run(
    plan: ScalePlan,
    studies: Sequence[Study],
    scanners: Scanners,
    pacs: MiniPacs,
    database: Database,
    progress: Callable[[str], None],
) -> tuple[float, float]:
    """Send, and wait for the ends; seconds until the last image was sent and the last end came."""
    began = time.monotonic()
    away = threading.Thread(target=_go_away, args=(pacs, plan.speed), daemon=True)
    away.start()
    scanners.send(
        studies, progress=lambda count: progress(f"{count} of {len(studies)} studies came")
    )
    sent_s = time.monotonic() - began
    progress("waiting for the last ends")
    deadline = time.monotonic() + END_LIMIT_S
    while not _ended(scanners.told, database):
        if time.monotonic() > deadline:
            break  # the verdict says which, and where they stand
        time.sleep(LOOK_S)
    away.join()
    return sent_s, time.monotonic() - began


def _ended(told: Acknowledged, database: Database) -> bool:
    with database.read() as session:
        return has_ended(told, session)


def _go_away(pacs: MiniPacs, speed: float) -> None:
    time.sleep(PACS_GOES_S / speed)
    pacs.stop()
    time.sleep(max(PACS_AWAY_AT_LEAST_S, PACS_AWAY_S / speed))
    pacs.start()


def _ask(settings: Settings) -> dict[str, Any]:
    app = open_application(settings)
    try:
        return ask_all(app, runs=ASKED)
    finally:
        app.database.close()


def _received(told: Acknowledged) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for sent in told.sent:
        kinds[str(sent.study.kind)] = kinds.get(str(sent.study.kind), 0) + 1
    return {
        "studies": kinds,
        "images": told.images,
        "associations": told.associations,
        "refused": dict(told.refused),
        "given_up": told.given_up,
        "latest_start_s": round(told.latest_s, 2),
    }


def _waits(samples: Samples) -> dict[str, Any]:
    """The longest that something waited, and the most that waited, seconds of the clock."""
    return {
        "oldest_queued_s": max(samples.queued_s, default=0.0),
        "oldest_undelivered_s": max(samples.undelivered_s, default=0.0),
        "most": {state: max(counts) for state, counts in samples.jobs.items()},
        "most_unindexed": max(samples.inbox, default=0),
        "looks": len(samples.at_s),
        "missed_looks": samples.missed,
    }


def is_whole(result: dict[str, Any]) -> bool:
    """Whether nothing was lost, doubled, misplaced or given up."""
    verdict = result["verdict"]
    found = [*verdict["lost"], *verdict["doubled"], *verdict["misplaced"]]
    return not (found or result["received"]["given_up"])
