"""What must be true after every fault, counted from outside the service."""

from __future__ import annotations

import hashlib
import io
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy import select

from dicom_node.mini_pacs import Record
from dicom_node.read.header import digests
from tests.conftest import REPOSITORY
from tests.faults.system import System
from workers.state.database import Database
from workers.state.schema import ENDS, Instance, Job, JobState

SR = "1.2.840.10008.5.1.4.1.1.88.33"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
GROUP_LENGTH_END = 132 + 12
"""Preamble, prefix and (0002,0000), which counts from there (PS3.10 section 7.1)."""
END_LIMIT_S = 150.0
ALARM_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table."""

    servers: str
    fault: str
    stage: str
    hits: int
    """1 when the barrier was reached with the fault armed, or the fault's effect was seen; 0 when
    not; -1 where neither can be seen."""
    acknowledged: int
    lost: int
    """Acknowledged instances that are not in the index or whose bytes cannot be read."""
    reports: int
    """Different SR objects (by UID or by content) of the series that the PACS received."""
    segmentations: int
    as_committed: bool
    """Whether what the PACS received is, byte for byte, what the service committed."""
    resends: int
    """C-STOREs of the same bytes again."""
    stuck: int
    """Jobs of the series that are in no end state."""
    state: str
    alarms: list[str]
    """Codes of all that were raised meanwhile."""
    duration_s: float
    wanted_instances: int
    wanted_alarm: str | None
    commit: str
    """Of the code that was tested."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def problems(self) -> list[str]:
        """Everything that is not as it must be."""
        wrong = []
        for name, found, wanted in (
            ("acknowledged", self.acknowledged, self.wanted_instances),
            ("lost", self.lost, 0),
            ("reports", self.reports, 1),
            ("segmentations", self.segmentations, 1),
            ("as committed", self.as_committed, True),
            ("stuck", self.stuck, 0),
            ("state", self.state, JobState.CONFIRMED),
        ):
            if found != wanted:
                wrong.append(f"{name}: {found}, must be {wanted}")
        if self.wanted_alarm is not None and self.wanted_alarm not in self.alarms:
            wrong.append(f"alarms: {self.alarms}, {self.wanted_alarm} must be among them")
        if self.hits == 0:
            wrong.append("the fault had no effect, or was over too early")
        return wrong


def wait_for_end(system: System, series_uid: str) -> None:
    """Until every job of the series is in an end state, or the time is up."""
    deadline = time.monotonic() + END_LIMIT_S
    while time.monotonic() < deadline:
        rows = _jobs(system, series_uid)
        if rows and all(JobState(row.state) in ENDS for row in rows):
            return
        time.sleep(0.3)


def count_lost(system: System, paths: Sequence[Path]) -> int:
    """Files that were acknowledged and of which the index or the object store knows nothing."""
    wanted = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}
    database = Database(system.service.database_url)
    try:
        with database.read() as session:
            rows = session.scalars(select(Instance).where(Instance.sop_uid.in_(wanted))).all()
            known = {row.sop_uid: (row.path, row.stored) for row in rows}
    finally:
        database.close()
    lost = 0
    scratch = system.folder / "read back.dcm"
    for uid, path in wanted.items():
        key, stored = known.get(uid, ("", False))
        data = system.read_object(key) if stored else None
        if data is None:
            lost += 1
            continue
        scratch.write_bytes(data)
        lost += digests(scratch) != digests(path)
    return lost


def count_results(system: System, study_uid: str) -> tuple[int, int, int]:
    """(Different SRs, different SEGs, repeats) of a study at the recording PACS."""
    found: dict[str, set[tuple[str, str]]] = {SR: set(), SEG: set()}
    records = _of_study(system, study_uid)
    for record in records:
        found[record.sop_class_uid].add((record.sop_instance_uid, record.sha256))
    different = len(found[SR]) + len(found[SEG])
    return len(found[SR]), len(found[SEG]), len(records) - different


def _of_study(system: System, study_uid: str) -> list[Record]:
    records = system.recorder.received()
    study_of = {
        path: str(dcmread(path, force=True, stop_before_pixels=True).StudyInstanceUID)
        for path in {record.path for record in records}
    }
    return [record for record in records if study_of[record.path] == study_uid]


def committed_digests(system: System, series_uid: str) -> set[str]:
    """SHA-256 of the data sets that the service committed for the newest revision."""
    job = system.service.job(series_uid)
    found = set()
    for item in job["objects"]:
        data = system.read_object(item["path"]) or b""
        meta = dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta
        data_set = data[GROUP_LENGTH_END + meta.FileMetaInformationGroupLength :]
        found.add(hashlib.sha256(data_set).hexdigest())
    return found


def received_digests(system: System, study_uid: str) -> set[str]:
    """SHA-256 of every data set of a study that the PACS received."""
    return {record.sha256 for record in _of_study(system, study_uid)}


def stuck_jobs(system: System, series_uid: str) -> int:
    return sum(JobState(row.state) not in ENDS for row in _jobs(system, series_uid))


def newest_state(system: System, series_uid: str) -> str:
    rows = _jobs(system, series_uid)
    return rows[-1].state if rows else "none"


def _jobs(system: System, series_uid: str) -> list[Job]:
    database = Database(system.service.database_url)
    try:
        with database.read() as session:
            query = select(Job).where(Job.series_uid == series_uid).order_by(Job.revision)
            rows = session.scalars(query).all()
            session.expunge_all()
            return list(rows)
    finally:
        database.close()


def wait_for_alarms(system: System, code: str | None, since: float) -> list[str]:
    """Codes of all alarms that were raised, as soon as the wanted one is among them."""
    deadline = time.monotonic() + (ALARM_LIMIT_S if code else 0.0)
    while True:
        raised = system.alarms_since(since)
        if code in raised or time.monotonic() >= deadline:
            return sorted(raised)
        time.sleep(0.5)


def commit_under_test() -> str:
    """The commit, with a plus sign when there are changes beside it."""
    git = ["git", "-C", str(REPOSITORY)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode
    return head.stdout.decode().strip() + ("+" if changed else "")
