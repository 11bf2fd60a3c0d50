"""The fault matrix: a smoke of it always, all of it in `make test-long`.

Every cell leaves its line below ``build/faults``; `python -m tests.faults.table` makes the table of
docs/reliability.md of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.conftest import REPOSITORY
from tests.faults.cells import Cell, all_cells
from tests.faults.system import EMBEDDED, SERVERS, SMALL_DISK, System
from tests.faults.verdict import (
    Verdict,
    commit_under_test,
    committed_digests,
    count_lost,
    count_results,
    newest_state,
    received_digests,
    stuck_jobs,
    wait_for_alarms,
    wait_for_end,
)
from tests.integration.bad_series import renamed, save

LINES = REPOSITORY / "build/faults"
ORDER = (EMBEDDED, SERVERS, SMALL_DISK)
CELLS = sorted(all_cells(), key=lambda cell: ORDER.index(cell.kind))


@pytest.fixture(scope="module")
def system_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], System]]:
    """The running system of a kind; the one before it ends."""
    running: dict[str, System] = {}

    def get(kind: str) -> System:
        if kind not in running:
            close()
            running[kind] = System(kind, tmp_path_factory.mktemp(kind.replace(" ", "-")))
            running[kind].start()
        return running[kind]

    def close() -> None:
        while running:
            _, system = running.popitem()
            system.stop()

    get.close = close  # type: ignore[attr-defined]
    yield get
    close()


@pytest.mark.peer
@pytest.mark.parametrize(
    "cell",
    [pytest.param(c, id=str(c), marks=() if c.smoke else pytest.mark.long) for c in CELLS],
)
def test_a_fault_costs_time_and_nothing_else(
    cell: Cell, system_for: Callable[[str], System], small_phantom: Path, tmp_path: Path
) -> None:
    system = system_for(cell.kind)
    paths = save(renamed(sorted(small_phantom.glob("*.dcm")), str(cell)), tmp_path / "series")
    try:
        verdict = run_cell(cell, system, paths)
        problems = verdict.problems()
        if problems:
            job = json.dumps(system.service.job(series_uid_of(paths)), indent=1)[-5000:]
            log = system.service.log.read_text()[-6000:]
            pytest.fail(f"{problems}\n{verdict}\n{job}\n{log}")
    except BaseException:
        system_for.close()  # type: ignore[attr-defined] # the next cell begins with a new one
        raise
    write_line(verdict)


def write_line(verdict: Verdict) -> None:
    """Keep a cell's line, in place of the one of an earlier run."""
    LINES.mkdir(parents=True, exist_ok=True)
    path = LINES / f"{verdict.servers.replace(' ', '_')}.jsonl"
    known = path.read_text().splitlines() if path.exists() else []
    lines = {(row["fault"], row["stage"]): row for row in map(json.loads, known)}
    lines[verdict.fault, verdict.stage] = verdict.to_json()
    path.write_text("".join(json.dumps(row) + "\n" for row in lines.values()))


def series_uid_of(paths: list[Path]) -> str:
    return str(dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID)


def count_hits(cell: Cell, system: System, series_uid: str) -> int:
    """Whether the fault struck where it should and, where that can be seen, did something."""
    struck = cell.barrier is None or system.plan.hits(cell.barrier) == 1
    if cell.proof is None:
        return -1 if cell.barrier is None else int(struck)
    return int(struck and cell.proof(system, system.service.job(series_uid)))


def run_cell(cell: Cell, system: System, paths: list[Path]) -> Verdict:
    """Break it, mend it, and count."""
    header = dcmread(paths[0], stop_before_pixels=True)
    series_uid, study_uid = str(header.SeriesInstanceUID), str(header.StudyInstanceUID)
    started, since = time.monotonic(), time.time() - 3700.0 * ("clock" in cell.fault)
    try:
        sending = cell.run(system, paths)
        sending.finish()
        wait_for_end(system, series_uid)
        duration_s = time.monotonic() - started
        hits = count_hits(cell, system, series_uid)
        alarms = wait_for_alarms(system, cell.alarm, since)
        reports, segmentations, resends = count_results(system, study_uid)
        return Verdict(
            servers=cell.kind,
            fault=cell.fault,
            stage=cell.stage,
            hits=hits,
            acknowledged=len(sending.acknowledged),
            lost=count_lost(system, sorted(sending.acknowledged)),
            reports=reports,
            segmentations=segmentations,
            as_committed=received_digests(system, study_uid)
            == committed_digests(system, series_uid),
            resends=resends,
            stuck=stuck_jobs(system, series_uid),
            state=newest_state(system, series_uid),
            alarms=alarms,
            duration_s=round(duration_s, 1),
            wanted_instances=len(paths),
            wanted_alarm=cell.alarm,
            commit=commit_under_test(),
        )
    finally:
        system.mend()
