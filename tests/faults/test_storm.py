"""Fifty series from four senders while every process is killed again and again.

What is counted is counted by the recording PACS and from the tables, not by what the service
says of itself. The figures are kept below ``build/faults`` for docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from dicom_node.barriers import Barrier
from tests.faults.system import EMBEDDED, SERVERS, Sending, System
from tests.faults.verdict import SEG, SR, commit_under_test, committed_digests, count_lost
from tests.integration.bad_series import renamed, save
from tests.integration.service import wait_for
from tests.servers.process import ServerProcess
from workers.state.schema import ENDS, JobState

STORMS = (EMBEDDED, SERVERS)
SERIES = 50
SENDERS = 4
STORM_S = 180.0
PAUSE_S = (1.0, 3.0)
"""Between two kills; the broker and the database stay away for up to as long."""
START_S = 10.0
"""A worker that was killed before is there again by then."""
END_LIMIT_S = 1500.0
SENDING_LIMIT_S = 900.0
ENVIRONMENT = {
    # A series whose worker dies five times is taken for the cause of it. Here it is not.
    "PULMONODE_MAX_ATTEMPTS": "100",
    "PULMONODE_MAX_DELIVERY_ATTEMPTS": "1000",
    "PULMONODE_COMMITMENT_WAIT_S": "15",
}


@pytest.fixture(params=STORMS)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    made = System(request.param, tmp_path, environment=ENVIRONMENT)
    made.start()
    yield made
    made.stop()


class Storm:
    """Kills one process after the other, at random but repeatably."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.random = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.targets = {
            "node": lambda: system.kill("main node"),
            "analysis worker": lambda: system.kill("--queues analyse"),
            "analysis": self._kill_analysis,
            "delivery worker": lambda: system.kill("--queues deliver"),
            "broker": lambda: self._kill_server(system.broker),
            "pulmonode up": system.kill_supervisor,
        }
        if system.database is not None:
            self.targets["database"] = lambda: self._kill_server(system.database)
        if system.store is not None:  # it keeps everything in memory: frozen, not killed
            self.targets["object store (frozen)"] = lambda: self._freeze(system.store)

    def rage(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            names = list(self.targets)
            self.random.shuffle(names)
            for name in names:  # every one as often as the others
                self._kill_while_delivering()
                time.sleep(self.random.uniform(*PAUSE_S))
                if self.targets[name]() != 0:
                    self.killed[name] += 1

    def _kill_analysis(self) -> int:
        """The process that analyses, not the one that gives it its tasks and starts it."""
        deadline = time.monotonic() + START_S
        while not (victims := self.system.processes("--queues analyse")[1:]):
            if time.monotonic() > deadline:
                return 0
            time.sleep(0.2)
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        return len(victims)

    def _kill_server(self, server: ServerProcess | None) -> int:
        if server is None:
            return self.system.kill("valkey-server")
        server.kill()
        time.sleep(self.random.uniform(*PAUSE_S))
        server.start()
        return 1

    def _freeze(self, server: ServerProcess | None) -> int:
        assert server is not None
        server.freeze()
        time.sleep(self.random.uniform(*PAUSE_S))
        server.thaw()
        return 1

    def _kill_while_delivering(self) -> None:
        """Let the next delivery die between the PACS's last answer and the database."""
        self.system.plan.disarm(Barrier.DELIVER_ACKNOWLEDGED)
        self.system.plan.arm(Barrier.DELIVER_ACKNOWLEDGED, "kill")


def send_all(system: System, series: Sequence[list[Path]], seed: int) -> list[Sending]:
    """Four senders, each with its share of the series, one after the other."""
    sendings = [Sending(system.service, paths, limit_s=SENDING_LIMIT_S) for paths in series]

    def work(share: list[Sending]) -> None:
        pauses = random.Random(seed)
        for sending in share:
            sending.start().finish()
            time.sleep(pauses.uniform(0.0, 1.0))

    shares = [sendings[n::SENDERS] for n in range(SENDERS)]
    threads = [threading.Thread(target=work, args=[share], daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sendings


def all_ended(system: System, wanted: set[str]) -> bool:
    newest: dict[str, str] = {}
    for row in system.service.jobs(limit=10 * SERIES):  # the newest first
        newest.setdefault(row["series_instance_uid"], row["state"])
    return all(uid in newest and JobState(newest[uid]) in ENDS for uid in wanted)


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_series_survive_a_storm(system: System, small_phantom: Path, tmp_path: Path) -> None:
    sources = sorted(small_phantom.glob("*.dcm"))
    series = [save(renamed(sources, f"storm {n}"), tmp_path / f"{n:02d}") for n in range(SERIES)]
    headers = [dcmread(paths[0], stop_before_pixels=True) for paths in series]
    uids = [str(header.SeriesInstanceUID) for header in headers]
    storm = Storm(system, seed=7)
    started = time.monotonic()

    sendings: list[Sending] = []
    sender = threading.Thread(
        target=lambda: sendings.extend(send_all(system, series, seed=7)), daemon=True
    )
    sender.start()
    storm.rage(STORM_S)
    system.mend()
    # Whether a delivery came as far as to be killed in the storm is chance: one is, after it.
    system.plan.arm(Barrier.DELIVER_ACKNOWLEDGED, "kill")
    sender.join()
    sent_after_s = time.monotonic() - started
    wait_for(lambda: all_ended(system, set(uids)), limit_s=END_LIMIT_S, message="all have ended")
    took_s = time.monotonic() - started

    line = {
        "servers": system.kind,
        "killed": dict(storm.killed),
        "kills": storm.killed.total(),
        "acknowledged": sum(len(sending.acknowledged) for sending in sendings),
        "lost": sum(count_lost(system, sorted(s.acknowledged)) for s in sendings),
        **count_what_came(system, [str(header.StudyInstanceUID) for header in headers], uids),
        "sent_after_s": round(sent_after_s),
        "duration_s": round(took_s),
        "commit": commit_under_test(),
    }
    assert min(storm.killed[name] for name in storm.targets) >= 3, line
    assert line["acknowledged"] == sum(len(paths) for paths in series), line
    assert line["lost"] == 0, line
    assert line["confirmed"] == SERIES, (line, system.service.jobs(limit=10 * SERIES))
    assert line["studies_with_one_sr"] == SERIES, line
    assert line["studies_with_one_seg"] == SERIES, line
    assert line["as_committed"] == SERIES, line
    assert int(str(line["resends"])) > 0, line  # else the storm proves nothing about bytes
    keep(line)


def count_what_came(
    system: System, studies: Sequence[str], series_uids: Sequence[str]
) -> dict[str, int]:
    """What the PACS got, by study: objects that differ by UID or by content, and repeats."""
    came: dict[str, dict[str, set[tuple[str, str]]]] = {
        study: {SR: set(), SEG: set()} for study in studies
    }
    records = system.recorder.received()
    study_of = {
        path: str(dcmread(path, force=True, stop_before_pixels=True).StudyInstanceUID)
        for path in {record.path for record in records}
    }
    for record in records:
        key = (record.sop_instance_uid, record.sha256)
        came[study_of[record.path]][record.sop_class_uid].add(key)
    confirmed = as_committed = 0
    for study, series_uid in zip(studies, series_uids, strict=True):
        job = system.service.job(series_uid)
        confirmed += job["state"] == JobState.CONFIRMED
        sent = {digest for kinds in came[study].values() for _, digest in kinds}
        as_committed += sent == committed_digests(system, series_uid)
    different = sum(len(kind) for kinds in came.values() for kind in kinds.values())
    return {
        "confirmed": confirmed,
        "studies_with_one_sr": sum(len(kinds[SR]) == 1 for kinds in came.values()),
        "studies_with_one_seg": sum(len(kinds[SEG]) == 1 for kinds in came.values()),
        "as_committed": as_committed,
        "resends": len(records) - different,
    }


def keep(line: dict[str, object]) -> None:
    from tests.faults.test_matrix import LINES

    LINES.mkdir(parents=True, exist_ok=True)
    (LINES / f"storm_{line['servers']}.json").write_text(json.dumps(line, indent=1) + "\n")
