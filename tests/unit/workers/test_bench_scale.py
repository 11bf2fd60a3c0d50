"""The replayed day: what is planned, what is sent, what the verdict sees, and a small day whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from dicom_node.mini_pacs import Record
from inference.pipeline import analyse
from inference.volume import Volume
from tests.conftest import REPOSITORY
from tests.integration.service import free_port
from tests.servers.postgresql import PostgresServer
from tests.servers.redis_server import RedisServer
from tests.unit.workers.rows import add_job
from workers import detector_choice
from workers.application import Application
from workers.bench.scale.day import BAD_KINDS, GOOD, PER_HOUR, Kind, Study, plan_day
from workers.bench.scale.picture import draw_day
from workers.bench.scale.sending import Acknowledged
from workers.bench.scale.short_inference import NOT_A_RESULT, short_methods
from workers.bench.scale.studies import Chest, Pauses, Sent, make_chest, write_study
from workers.bench.scale.verdict import judge
from workers.bench.scale.watching import Samples, memory_summary
from workers.cli.main import app as command
from workers.settings import Settings
from workers.state.schema import JobState

PAUSES = Pauses(between_s=1.0, late_s=2.0, very_late_s=3.0)
GROWTH_MB = 10.0
"""Per 100 studies; measured: see docs/performance.md."""
CHOICE_MS = 20.0
"""With 100,000 jobs, on a machine that other work may keep busy; about 1 ms on a quiet one."""
SR, SEG = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture(scope="module")
def chest() -> Chest:
    return make_chest(slices=40, pixels=200)


def test_a_day_has_its_studies_its_peak_and_its_bad_ones() -> None:
    day = plan_day(600, burst=6, seed=3)

    kinds = Counter(study.kind for study in day)
    assert len(day) == 600 + kinds[Kind.STRANGER]
    assert sum(kinds[kind] for kind in BAD_KINDS) == 12  # 2 %
    assert min(kinds[kind] for kind in (*GOOD, *BAD_KINDS)) >= 1
    hours = Counter(int(study.at_s // 3600) for study in day)
    morning = sum(hours[hour] for hour in (8, 9, 10, 11)) / len(day)
    wanted = sum(PER_HOUR[8:12]) / sum(PER_HOUR)
    assert morning == pytest.approx(wanted, abs=0.12)
    at_once = Counter(study.at_s for study in day)
    assert max(at_once.values()) == 6
    in_bursts = sum(count for count in at_once.values() if count > 1) / len(day)
    assert 0.08 < in_bursts < 0.35
    assert plan_day(600, burst=6, seed=3) == day


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_of_study_is_sent_as_it_says(kind: Kind, chest: Chest, tmp_path: Path) -> None:
    sent = write_study(
        Study(number=1, at_s=0.0, scanner="CT_ER", kind=kind), chest, tmp_path / "1", PAUSES
    )

    files = [path for piece in sent.pieces for path in piece.files]
    whole = [dcmread(path, force=True, stop_before_pixels=True) for path in sent.instances]
    pixels = [path.stat().st_size for path in sent.instances]
    assert {str(ds.SeriesInstanceUID) for ds in whole} == {sent.series_uid}
    assert len(whole) == (38 if kind is Kind.MISSING else 40)
    assert set(files) == set(sent.instances)
    assert len(files) == len(whole) * (2 if kind is Kind.RESENT else 1)
    assert len({str(ds.PatientID) for ds in whole}) == (2 if kind is Kind.FOREIGN else 1)
    assert {ds.Modality for ds in whole} == ({"MR"} if kind is Kind.NOT_CT else {"CT"})
    assert (max(pixels) - min(pixels) > 500) is (kind is Kind.TRUNCATED)


def test_the_shortened_inference_finds_its_ball_and_says_that_it_is_none(chest: Chest) -> None:
    methods = short_methods()

    findings = analyse(
        Volume(hu=chest.hu, affine=chest.affine),
        detector=methods.detector,
        segmenter=methods.segmenter,
        grading=methods.grading,
    )

    assert len(findings.nodules) == 1
    assert NOT_A_RESULT in findings.limits
    assert "measuring" in findings.algorithm_name


def test_no_setting_reaches_the_shortened_inference(tmp_path: Path) -> None:
    """Only the process that installs it has it; a worker of the command never loads it."""
    settings = Settings(data_dir=tmp_path, detector="classical", segmenter="classical")
    assert detector_choice.detector_of(settings).kind == "classical"

    detector_choice.install(short_methods())
    try:
        assert detector_choice.detector_of(settings).kind == "measuring-only"
        assert detector_choice.segmenter_of(settings).kind == "measuring-only"
        assert detector_choice.grading_of(settings) is None
    finally:
        detector_choice.install(None)

    assert detector_choice.segmenter_of(settings).kind == "classical"
    loaded = (
        "import sys, workers.cli.start, workers.up, workers.roles, workers.tasks\n"
        "print([name for name in sys.modules if 'bench.scale' in name])"
    )
    told = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, env=os.environ
    )
    assert told.stdout.strip() == "[]"


def at_pacs(folder: Path, kind: str, uid: str, *, revision: int = 1, **changed: str) -> Record:
    """An object as the recording PACS keeps it."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = kind, uid
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = kind, uid
    ds.StudyInstanceUID, ds.PatientID = "1.2", changed.get("patient_id", "SCALE00001")
    ds.InstanceNumber = revision
    path = folder / f"{uid}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return Record(
        calling_ae_title="PULMONODE", sop_class_uid=kind, sop_instance_uid=uid, path=path,
        sha256=changed.get("sha256", "a"), at=0.0,
    )  # fmt: skip


def told_of(kind: Kind, *, acknowledged: tuple[str, ...] = ()) -> Acknowledged:
    sent = Sent(
        study=Study(number=1, at_s=0.0, scanner="CT_ER", kind=kind),
        patient_id="SCALE00001", study_uid="1.2", series_uid="1.2.3", instances={}, pieces=(),
    )  # fmt: skip
    return Acknowledged(sent=[sent], uids={1: set(acknowledged)})


def found(
    app: Application, records: list[Record], told: Acknowledged
) -> tuple[list[str], list[str], list[str]]:
    """Words of what is lost, doubled and misplaced, without the study's name."""
    verdict = judge(told, app.database, records)
    lists = (verdict.lost, verdict.doubled, verdict.misplaced)
    return tuple([text.split(": ", 1)[1] for text in items] for items in lists)  # type: ignore[return-value]


def test_a_good_study_with_its_results_is_whole_and_a_resend_is_no_double(
    app: Application, tmp_path: Path
) -> None:
    add_job(app, JobState.CONFIRMED)
    records = [at_pacs(tmp_path, SR, "1.1"), at_pacs(tmp_path, SEG, "1.2"),
               at_pacs(tmp_path, SR, "1.1")]  # fmt: skip

    assert found(app, records, told_of(Kind.PLAIN)) == ([], [], [])
    assert judge(told_of(Kind.PLAIN), app.database, records).resends == 1


def test_the_verdict_sees_each_thing_that_is_wrong(app: Application, tmp_path: Path) -> None:
    add_job(app, JobState.CONFIRMED)
    good = [at_pacs(tmp_path, SR, "1.1"), at_pacs(tmp_path, SEG, "1.2")]
    plain = told_of(Kind.PLAIN)

    cases = {
        "no report": (good[1:], plain, "no SR of revision 1 at the PACS"),
        "a second": ([*good, at_pacs(tmp_path, SR, "1.3")], plain, "2 SR of revision 1"),
        "changed": ([*good, at_pacs(tmp_path, SEG, "1.2", sha256="b")], plain,
                    "2 versions of one SEG"),
        "another's": ([*good, at_pacs(tmp_path, SR, "1.4", revision=2, patient_id="OTHER")], plain,
                      "a SR of another patient"),
        "gone": (good, told_of(Kind.PLAIN, acknowledged=("1.9",)),
                 "1 acknowledged instances are gone"),
        "none is due": (good, told_of(Kind.NOT_CT), "SR of revision 1, none is due"),
        "wrong end": ([], told_of(Kind.FOREIGN),
                      "ended as confirmed (None), must be quarantined"),
        "untold": ([], told_of(Kind.MISSING), "no report that says that it was not analysed"),
        "stranger": ([], told_of(Kind.STRANGER), "it was taken"),
    }  # fmt: skip
    for name, (records, told, words) in cases.items():
        problems = [text for items in found(app, records, told) for text in items]
        assert words in problems, (name, problems)


def test_growth_of_memory_is_told_per_hundred_studies() -> None:
    times = [float(second) for second in range(0, 101, 10)]
    steady = [300.0 + 0.5 * at for at in times]
    samples = Samples(memory_at_s=times, memory_mb={"node": steady, "broker": [0.0] * len(times)})

    told = memory_summary(samples, studies=50)

    assert set(told) == {"node"}  # the broker is not ours
    assert told["node"]["mb_per_100_studies"] == pytest.approx(0.5 * 100 * 2)
    assert (told["node"]["start"], told["node"]["end"]) == (310.0, 350.0)


@pytest.mark.timeout(300)
def test_a_small_day_goes_through_the_whole_service(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    told = CliRunner().invoke(
        command,
        ["bench", "scale", "--studies", "10", "--speed", "17280", "--json", str(out)],
    )

    assert told.exit_code == 0, told.output
    result = json.loads(out.read_text())
    verdict = result["verdict"]
    assert (verdict["lost"], verdict["doubled"], verdict["misplaced"]) == ([], [], [])
    assert verdict["ends"] == {
        "confirmed": 6, "quarantined": 2, "not_eligible": 2, "unknown caller": 1
    }  # fmt: skip
    assert verdict["revisions_at_pacs"] >= 6
    assert sum(result["received"]["refused"].values()) >= 1  # who may not call
    assert result["stages_s"]["analysis and objects"]["jobs"] >= 6
    assert result["memory_mb"]["analyse"]["most"] > 100
    assert result["cpu_s"]["node"] > 0
    draw_day(result, tmp_path / "day.png")
    assert (tmp_path / "day.png").stat().st_size > 5000


def replayed(out: Path, *options: str) -> dict[str, Any]:
    """A day by the command; what it found."""
    told = CliRunner().invoke(command, ["bench", "scale", *options, "--json", str(out)])
    result: dict[str, Any] = json.loads(out.read_text())
    assert told.exit_code == 0, (result["verdict"], result["received"])
    return result


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_day_of_600_loses_nothing_doubles_nothing_and_grows_no_memory() -> None:
    out = REPOSITORY / "build/bench/scale.json"
    options = ("--studies", "600", "--speed", "120", "--workers", "2", "--history", "100000")
    result = replayed(out, *options)

    verdict = result["verdict"]
    assert (verdict["lost"], verdict["doubled"], verdict["misplaced"]) == ([], [], [])
    assert verdict["ends"] == {
        "confirmed": 588, "quarantined": 6, "not_eligible": 6, "unknown caller": 6
    }  # fmt: skip
    for role in ("node", "deliver", "analyse"):
        assert result["memory_mb"][role]["mb_per_100_studies"] < GROWTH_MB, role
    late = {name: taken["ms"] for name, taken in result["claims"]["questions"].items()}
    assert late["worker: choose an analysis"] < CHOICE_MS


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_day_of_100_on_postgresql_and_redis(tmp_path: Path) -> None:
    with (
        PostgresServer(tmp_path, free_port()) as server,
        RedisServer(tmp_path, free_port()) as broker,
    ):
        result = replayed(
            tmp_path / "out.json", "--studies", "100", "--speed", "480", "--workers", "2",
            "--history", "20000", "--state-url", server.url, "--broker-url", broker.url,
        )  # fmt: skip

    verdict = result["verdict"]
    assert (verdict["lost"], verdict["doubled"], verdict["misplaced"]) == ([], [], [])
    assert verdict["ends"]["confirmed"] == 96
