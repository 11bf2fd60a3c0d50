"""From a series' last C-STORE to its SR at the PACS, stage by stage, through the whole service.

One service with its embedded broker, its worker warmed up by a first series, and phantoms one
after the other: some with ever more slices, some with ever more nodules. What a site chooses to
wait (quiet time, hold for a better series) is told apart and left out of the sum.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import ComprehensiveSRStorage

from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.mini_pacs import MiniPacs
from workers.errors import BenchmarkFailed
from workers.own_service import QUICK, follow_jobs, free_port, own_service
from workers.phantom import write_phantom
from workers.settings import Settings
from workers.state.database import Database
from workers.state.schema import JobState
from workers.state.store import open_store
from workers.usecases.export import export_result

CHEST_MM = 300.0
DIAMETERS_MM = (6.0, 16.0)
LIMIT_S = 1800.0
"""For one series."""
STAGES = ("assembly", "queue", "analysis", "objects", "delivery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is sent: a phantom of `CHEST_MM` along the body."""

    slices: int
    nodules: int
    pixels: int = 512


def bench_pipeline(
    cases: Sequence[Series], *, runs: int, scratch: Path | None = None
) -> dict[str, Any]:
    """Seconds of each stage for each series, medians over runs.

    Parameters
    ----------
    cases : sequence of Series
        In the order in which they are sent.
    runs : int
        Of each, with phantoms of their own.
    scratch : Path, optional
        Where phantoms, spool and results stand meanwhile.

    Raises
    ------
    BenchmarkFailed
        If a series does not come to a confirmed result.
    ServiceNotStarted
        If the service does not start.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="pulmonode-bench-", dir=scratch) as folder:
        root = Path(folder)
        peer = Peer(ae_title="PULMONODE", host="127.0.0.1", port=free_port())
        pacs = MiniPacs(folder=root / "pacs", commitment_peer=peer)
        pacs.start()
        try:
            with own_service(root / "data", pacs, root / "service.log", peer=peer) as settings:
                bench = _Bench(root, peer, pacs, settings)
                bench.run(Series(slices=60, nodules=1, pixels=256), seed=1)
                seeds = count(100)  # each series is another patient's: none has an earlier CT
                results = [
                    _summary(case, [bench.run(case, seed=next(seeds)) for _ in range(runs)])
                    for case in cases
                ]
        finally:
            pacs.stop()
    return {"cores": os.cpu_count(), "load": load, "runs": runs, "cases": results}


class _Bench:
    """Sends one series after the other and reads how long each took."""

    def __init__(self, root: Path, peer: Peer, pacs: MiniPacs, settings: Settings) -> None:
        self.root, self.peer, self.pacs, self.settings = root, peer, pacs, settings
        self.database = Database(settings.database_url)
        self.job_id = 0

    def run(self, case: Series, *, seed: int) -> dict[str, float]:
        ct = self.root / f"ct-{case.slices}-{case.nodules}-{seed}"
        truth = write_phantom(
            ct,
            seed=seed,
            slices=case.slices,
            spacing_mm=CHEST_MM / case.slices,
            pixels=case.pixels,
            pixel_spacing_mm=0.7 * 512 / case.pixels,
            nodules=[f"solid:{mm:g}" for mm in np.linspace(*DIAMETERS_MM, case.nodules)],
        )
        del truth
        objects = [read_outgoing(path) for path in sorted(ct.glob("*.dcm"))]
        began = time.time()
        with associated(self.peer, self.pacs.ae_title, storage_contexts(objects)) as assoc:
            for _ in store_all(assoc, self.peer, objects):
                pass
        sent = time.time()
        job = self._follow()
        out = self.root / f"out-{job['id']}"
        export_result(open_store(self.settings.object_store_url), job, out)
        findings = json.loads((out / "findings.json").read_text())
        report = next(
            item.at
            for item in self.pacs.records
            if item.at > sent and item.sop_class_uid == ComprehensiveSRStorage
        )
        return _stages(job, began, sent, report, findings)

    def _follow(self) -> dict[str, Any]:
        try:
            *_, job = follow_jobs(self.database, limit_s=LIMIT_S, after=self.job_id)
        except TimeoutError as error:
            raise BenchmarkFailed("a series", [str(error)]) from error
        if job is None or job["state"] != JobState.CONFIRMED:
            raise BenchmarkFailed("a series", [f"ended as {job and job['state']}"])
        self.job_id = int(job["id"])
        return job


def _stages(
    job: dict[str, Any], began: float, sent: float, report: float, findings: dict[str, Any]
) -> dict[str, float]:
    """Wall seconds of each stage; `waited` is what the settings asked for."""
    at: dict[str, float] = {}
    for line in job["history"]:
        at.setdefault(line["state"], float(line["at"]))
    waits = [float(QUICK[f"PULMONODE_{name}_S"]) for name in ("QUIET_TIME", "STUDY_HOLD")]
    analysis_s = sum(findings["timings_s"].values())
    stages = {
        "sending": sent - began,
        "waited": sum(waits),
        "assembly": at["queued"] - sent - sum(waits),
        "queue": at["analysing"] - at["queued"],
        "analysis": analysis_s,
        "objects": at["analysed"] - at["analysing"] - analysis_s,
        "delivery": report - at["analysed"],
        "commitment": at["confirmed"] - report,
    }
    return {
        **stages,
        "image_to_report": sum(stages[name] for name in STAGES),
        "peak_rss_mb": float(findings["peak_rss_mb"]),
        "nodules_found": float(len(findings["nodules"])),
        **{f"analysis: {name}": float(s) for name, s in findings["timings_s"].items()},
    }


def _summary(case: Series, runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {
        "slices": case.slices,
        "nodules": case.nodules,
        "pixels": case.pixels,
        "median": {name: float(np.median([run[name] for run in runs])) for name in runs[0]},
        "slowest_s": max(run["image_to_report"] for run in runs),
    }


def growing(slices: Sequence[int], nodules: Sequence[int], *, usual: Series) -> Iterator[Series]:
    """The usual series, then with other numbers of slices, then of nodules."""
    yield usual
    for number in slices:
        yield Series(slices=number, nodules=usual.nodules, pixels=usual.pixels)
    for number in nodules:
        yield Series(slices=usual.slices, nodules=number, pixels=usual.pixels)
