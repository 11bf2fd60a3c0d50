"""How much is kept, where, and how long by the site's policy; no patient data."""

from __future__ import annotations

import shutil
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workers.application import Application
from workers.settings import Settings
from workers.state.retention_tables import Removal
from workers.state.schema import Event, Instance, Result, ResultObject
from workers.usecases.retain import Due, due_removals

LISTED_AT_MOST = 10_000
POLICIES = (
    "keep_received_days", "keep_ended_days", "keep_results_days", "keep_history_days",
    "keep_context_days",
)  # fmt: skip


def describe_storage(app: Application) -> dict[str, Any]:
    """Disk, what stands where, the policy, and what it lets go now."""
    disk = shutil.disk_usage(app.settings.data_dir)
    inbox, aside = app.spool.inbox(), app.spool.quarantined()
    now = app.now()
    with app.database.read() as session:
        kept = _kept(session)
        due = due_removals(session, app.settings, now=now, limit=LISTED_AT_MOST)
        pending = session.scalar(select(func.count()).select_from(Removal)) or 0
    return {
        "data_dir": str(app.settings.data_dir),
        "store": app.settings.object_store_url,
        "disk_free_bytes": disk.free,
        "disk_total_bytes": disk.total,
        "disk_reserve_bytes": app.settings.disk_reserve_bytes,
        "inbox": len(inbox),
        "kept_aside": {"objects": len(aside), "bytes": sum(path.stat().st_size for path in aside)},
        **kept,
        "policy_days": policy(app.settings),
        "due": total(due),
        "removals_begun": pending,
    }


def policy(settings: Settings) -> dict[str, float | None]:
    """Days by setting; `None` for ever."""
    return {name: getattr(settings, name) or None for name in POLICIES}


def total(due: list[Due]) -> dict[str, dict[str, int]]:
    """What is due, by kind."""
    found: dict[str, dict[str, int]] = {}
    for item in due:
        of_kind = found.setdefault(item.what, {"jobs": 0, "objects": 0, "bytes": 0})
        of_kind["jobs"] += 1
        of_kind["objects"] += item.objects
        of_kind["bytes"] += item.size_bytes
    return found


def _kept(session: Session) -> dict[str, Any]:
    received = session.execute(
        select(func.count(), func.coalesce(func.sum(Instance.size_bytes), 0)).where(
            Instance.stored.is_(True)
        )
    ).one()
    removed = session.scalar(
        select(func.count()).select_from(Instance).where(Instance.removed_at.is_not(None))
    )
    results = session.execute(
        select(func.count(), func.coalesce(func.sum(ResultObject.size_bytes), 0))
        .join(Result, Result.job_id == ResultObject.job_id)
        .where(Result.removed_at.is_(None))
    ).one()
    lines = session.scalar(select(func.count()).select_from(Event))
    return {
        "received": {"objects": int(received[0]), "bytes": int(received[1])},
        "received_removed": int(removed or 0),
        "results": {"objects": int(results[0]), "bytes": int(results[1])},
        "history_lines": int(lines or 0),
    }
