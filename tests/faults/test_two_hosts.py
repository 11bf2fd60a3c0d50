"""Node and worker on two hosts; the cable between them breaks in the middle of a job."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from dicom_node.barriers import Barrier
from tests.faults.cells import STAGES, Cell
from tests.faults.system import FAST, Sending
from tests.faults.test_matrix import run_cell, series_uid_of, write_line
from tests.faults.two_host_system import ANALYSE, DELIVER, TWO_HOSTS, TwoHostSystem
from tests.integration.bad_series import renamed, save
from tests.integration.service import wait_for
from tests.servers.two_hosts import TwoHosts
from workers.state.alarms import NOBODY_WORKS
from workers.state.schema import JobState

B = Barrier
Break = Callable[[TwoHosts], None]
LEASE_S = float(FAST["PULMONODE_LEASE_S"])
SHORT_S = 3 * LEASE_S
"""Longer than a lease, shorter than any time limit of a connection: the sockets live on."""
LONG_S = 45.0
"""Longer than every time limit of a connection: every socket between the hosts is dead."""
REACH_LIMIT_S = 180.0
"""Six processes start and analyse on one machine, which may be busy with something else."""
TAKE_OVER_LIMIT_S = 80.0
"""Well before a process that is held at a barrier goes on by itself."""


def undisturbed(system: TwoHostSystem, paths: list[Path]) -> Sending:
    return system.send(paths)


def apart(
    barrier: B, breaks: Break, for_s: float, system: TwoHostSystem, paths: list[Path]
) -> Sending:
    """The cable breaks while a process is held, which then runs into that; mended later."""
    sending = held(barrier, system, paths)
    breaks(system.hosts)
    began = time.monotonic()
    system.plan.let_go(barrier)
    wait_for_silence(system, paths)
    time.sleep(max(0.0, began + for_s - time.monotonic()))
    system.hosts.mend()
    return sending


def overtaken(barrier: B, breaks: Break, system: TwoHostSystem, paths: list[Path]) -> Sending:
    """A worker beside the node does the job meanwhile; the first one goes on afterwards."""
    sending = held(barrier, system, paths)
    breaks(system.hosts)
    system.start_role("node", ANALYSE)
    system.service.wait_for_job(
        series_uid_of(paths), limit_s=TAKE_OVER_LIMIT_S, states={JobState.DELIVERING}
    )
    system.hosts.mend()
    system.plan.let_go(barrier)
    wait_for(
        lambda: [
            line
            for line in system.log_lines("analysis_discarded")
            if str(line["role"]).startswith("worker-")
        ],
        limit_s=60,
        message="the worker that was cut off gives its result up",
    )
    return sending


def powered_off(barrier: B, system: TwoHostSystem, paths: list[Path]) -> Sending:
    """The worker's host loses its power for good; somebody is told, and starts others."""
    sending = held(barrier, system, paths)
    began = time.time()
    assert system.hosts.power_off("worker") == 3  # both roles, and the process that analyses
    wait_for(
        lambda: NOBODY_WORKS in system.alarms_since(began),
        limit_s=60,
        message="the missing worker is told of",
    )
    system.start_role("node", ANALYSE)
    system.start_role("node", DELIVER)
    return sending


def held(barrier: B, system: TwoHostSystem, paths: list[Path]) -> Sending:
    system.plan.arm(barrier, "hold")
    sending = system.send(paths)
    wait_for(
        lambda: system.plan.hits(barrier),
        limit_s=REACH_LIMIT_S,
        message=f"{barrier} is reached",
    )
    return sending


def wait_for_silence(system: TwoHostSystem, paths: list[Path]) -> None:
    """Until the node has taken back what the worker held."""
    wait_for(
        lambda: "went silent" in str(system.service.job(series_uid_of(paths))["history"]),
        limit_s=10 * LEASE_S,
        message="the lease runs out",
    )


@dataclass(frozen=True)
class Case:
    """A cell, and how often job, delivery and result were taken at least."""

    cell: Cell
    job_token: int = 1
    delivery_token: int = 1
    result_token: int = 1

    def __str__(self) -> str:
        return str(self.cell)


def case(
    fault: str,
    barrier: B | None,
    run: Callable[..., Sending],
    *,
    alarm: str | None = None,
    **tokens: int,
) -> Case:
    words = "all" if barrier is None else f"{STAGES[barrier]}: {barrier}".replace("_", " ")
    return Case(Cell(fault, words, TWO_HOSTS, run, barrier, alarm), **tokens)


CASES = [
    case("none", None, undisturbed),
    case(
        f"cable cut for {SHORT_S:g} s",
        B.ANALYSE_TAKEN,
        partial(apart, B.ANALYSE_TAKEN, TwoHosts.cut, SHORT_S),
        job_token=2,
        result_token=2,
    ),
    case(
        f"packets lost for {LONG_S:g} s",
        B.ANALYSE_COMPOSED,
        partial(apart, B.ANALYSE_COMPOSED, TwoHosts.swallow, LONG_S),
        job_token=2,
        result_token=2,
    ),
    case(
        "packets lost, another worker takes over",
        B.ANALYSE_BEFORE_COMMIT,
        partial(overtaken, B.ANALYSE_BEFORE_COMMIT, TwoHosts.swallow),
        job_token=2,
        result_token=2,
    ),
    case(
        f"cable cut for {SHORT_S:g} s",
        B.DELIVER_BETWEEN_OBJECTS,
        partial(apart, B.DELIVER_BETWEEN_OBJECTS, TwoHosts.cut, SHORT_S),
        delivery_token=2,
    ),
    case(
        "worker's host loses power, another is started",
        B.ANALYSE_COMPOSED,
        partial(powered_off, B.ANALYSE_COMPOSED),
        alarm=NOBODY_WORKS,
        job_token=2,
        result_token=2,
    ),
]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[TwoHostSystem]:
    with TwoHosts() as hosts:
        system = TwoHostSystem(tmp_path / "system", hosts)
        try:
            system.start()
            yield system
        finally:
            system.stop()


@pytest.mark.long
@pytest.mark.peer
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_cable_costs_time_and_nothing_else(
    case: Case, system: TwoHostSystem, small_phantom: Path, tmp_path: Path
) -> None:
    datasets = renamed(sorted(small_phantom.glob("*.dcm")), str(case))
    paths = save(datasets, tmp_path / "series")
    verdict = run_cell(case.cell, system, paths)

    job = system.service.job(series_uid_of(paths))
    tokens = system.tokens()
    known = f"{verdict}\n{json.dumps(job, indent=1)}\n{tokens}\n{system.logs()}"
    assert verdict.problems() == [], known
    (job_token,), (delivery_token,), (result_token,) = (
        tokens[table] for table in ("job", "delivery", "result")
    )
    assert job_token >= case.job_token, known
    assert delivery_token >= case.delivery_token, known
    assert job_token == result_token >= case.result_token, known
    assert_nothing_shared_but_urls(system)
    write_line(verdict)


def assert_nothing_shared_but_urls(system: TwoHostSystem) -> None:
    """The node has received the series; the workers never had more than an empty folder."""
    assert (system.data("node") / "spool").is_dir()
    assert not [path for path in system.data("worker").rglob("*") if path.is_file()]
