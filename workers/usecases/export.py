"""A job's result as files, for people who want to look at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workers.object_names import file_names
from workers.state.store import ObjectStore


def export_result(store: ObjectStore, job: dict[str, Any], out: Path) -> None:
    """Write ``job.json`` and, when there is a result that was not removed, findings, features
    and the objects.

    Parameters
    ----------
    store : ObjectStore
        Where the result is kept.
    job : dict
        From `workers.usecases.describe.show_job`.
    out : Path
        Folder; made when absent.

    Raises
    ------
    ObjectMissing, StoreUnavailable
        If the store does not give it.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "job.json").write_text(json.dumps(job, indent=2) + "\n")
    if job["findings_path"] is None or job["result_removed_at"] is not None:
        return
    (out / "findings.json").write_bytes(store.get_bytes(job["findings_path"]))
    if job["features_path"] is not None:
        (out / "features.npz").write_bytes(store.get_bytes(job["features_path"]))
    names = file_names([(item["kind"], item["profiles"]) for item in job["objects"]])
    for name, item in zip(names, job["objects"], strict=True):
        (out / name).write_bytes(store.get_bytes(item["path"]))
