"""HL7 messages in an analysis' result, and processes that are killed between AA and database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.compose.content_tree import walk
from tests.conftest import REPOSITORY
from tests.integration.service import free_port, wait_for
from tests.unit.workers.context.known import give, known, numbers
from tests.unit.workers.context.messages import MllpClient, code_of, laboratory, message
from tests.unit.workers.context.test_reports import report
from tests.unit.workers.rows import set_state
from workers.application import Application, open_application
from workers.context.hl7_accept import AcceptPolicy
from workers.context.hl7_receive import Receiver
from workers.context.mllp import MllpLimits, MllpListener
from workers.settings import Settings
from workers.state.context_tables import ContextMessage
from workers.state.jobs import current_job
from workers.state.schema import JobState
from workers.usecases.analyse import analyse_next
from workers.usecases.describe import show_job
from workers.usecases.export import export_result
from workers.usecases.index import index_inbox
from workers.usecases.revise_for_context import revise_for_context
from workers.usecases.take_messages import open_inbox, take_messages

HISTORY = (
    "OBR|1|O9|O9|SOC^Social history^L|||20260201",
    "OBX|1|CWE|72166-2^Tobacco smoking status^LN||8517006^Ex-smoker^SCT||||||F|||20260201",
    "DG1|1||J43.9^Emphysema^I10|||F",
    "DG1|2||Z80.1^Family history^I10|||F",
)


@pytest.fixture
def app(tmp_path: Path) -> Application:
    return open_application(settings_in(tmp_path / "data"), migrate=True)


def settings_in(folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        disk_reserve_bytes=0,
        context_issuers={"HOSP": "HOSP"},
        context_default_issuer="HOSP",
        context_revises=True,
    )


@pytest.fixture
def paths(small_phantom: Path, tmp_path: Path) -> list[Path]:
    """The phantom as the CT of Jane Roe, 4711, 2026-03-02."""
    folder = tmp_path / "ct"
    folder.mkdir()
    found = []
    for path in sorted(small_phantom.glob("**/*.dcm")):
        ds = dcmread(path)
        ds.PatientID, ds.PatientName, ds.PatientBirthDate = "4711", "Roe^Jane", "19600402"
        ds.PatientSex, ds.PatientAge, ds.StudyDate = "F", "065Y", "20260302"
        ds.save_as(folder / path.name, enforce_file_format=True)
        found.append(folder / path.name)
    return found


def text_of(sr: Dataset) -> str:
    """All texts of a report."""
    return " ".join(str(item.TextValue) for item in walk(sr) if "TextValue" in item)


def analysed(app: Application, series_uid: str, out: Path) -> tuple[dict[str, Any], str]:
    """Analyse the series' newest job; findings, and the texts of its SR."""
    set_state(app, series_uid, JobState.COMPLETE, JobState.QUEUED)
    job_id = analyse_next(app)
    with app.database.read() as session:
        job = current_job(session, series_uid)
        assert job is not None
        assert (job.id, job.state) == (job_id, JobState.ANALYSED), job.reason
        shown = show_job(session, series_uid)
    export_result(app.store, shown, out)
    findings = json.loads(next(out.glob("**/findings.json")).read_text())
    return findings, text_of(dcmread(next(out.glob("**/sr*.dcm"))))


def test_context_reaches_the_result_and_what_comes_late_makes_a_revision(
    app: Application, paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(app, message("ADT^A08", *HISTORY, control="ADT-1"))
    for path in paths:
        ds = dcmread(path)
        app.spool.accept(str(ds.SOPInstanceUID), path.read_bytes())
    index_inbox(app)
    series = str(ds.SeriesInstanceUID)
    revise_for_context(app, now=app.now())

    findings, said = analysed(app, series, tmp_path / "one")

    missing = findings["nodules"][0]["guidelines"]["brock"]["missing"]
    assert not {"age", "sex", "emphysema", "family_history_lung_cancer"} & set(missing)
    context = findings["clinical_context"]
    emphysema = next(item for item in context["values"] if item["item"] == "emphysema")
    assert (emphysema["flag"], emphysema["message_id"]) == (True, "ADT-1")
    assert "known_cancer" in context["missing"]
    assert "emphysema yes (HL7 message ADT-1, 2026-03-01)" in said
    assert "age 65 years (CT header, 2026-03-02)" in said

    nodule = findings["nodules"][0]
    assert "spiculation" in nodule["guidelines"]["brock"]["missing"]
    assert "report" not in nodule
    assert "report" not in findings["exam"]

    give(app, laboratory("7.5", control="LAB-9"))
    side = nodule["laterality"]
    other = {"left": "right", "right": "left"}[side]
    send_by_mllp(
        app,
        report(
            f"FINDINGS: 20 mm spiculated nodule in the {side} lung.",
            f"IMPRESSION: 45 mm mass in the {other} lung.",
            control="RAD-1",
        ),
    )
    assert revise_for_context(app, now=app.now()) == 1
    assert revise_for_context(app, now=app.now()) == 0
    findings, said = analysed(app, series, tmp_path / "two")

    cea = next(item for item in findings["clinical_context"]["values"] if item["item"] == "cea")
    assert (cea["number"], cea["unit"], cea["message_id"]) == (7.5, "ng/mL", "LAB-9")
    assert "CEA 7.5 ng/mL [H] (reference 0-5) (HL7 message LAB-9, 2026-03-01)" in said
    told, exam = findings["nodules"][0]["report"], findings["exam"]["report"]
    (radiology,) = told["reports"]
    assert (radiology["message_id"], radiology["on"], told["spiculation_used"]) == (
        "RAD-1", "2026-03-02", True
    )  # fmt: skip
    assert "spiculation" not in findings["nodules"][0]["guidelines"]["brock"]["missing"]
    assert [item["said"]["size_mm"] for item in exam["not_found"]] == [45.0]
    source = "HL7 message RAD-1, 2026-03-02"
    assert f"Radiologist's report: {source}" in said
    assert (
        f"described in the report ({source}): 20 mm, {side} lung, spiculated; {side} side" in said
    )
    assert "spiculation for Brock and Mayo is the report's: present" in said
    assert f"the report describes a nodule (45 mm, {other} lung) that was not found" in said
    assert "mass in the" not in said  # none of the report's own words
    assert "mass in the" not in "".join(capsys.readouterr())
    masked = {"present": True, "masked": True}
    assert all(
        findings["nodules"][0]["modalities"][name] == masked for name in ("clinical", "serology")
    )
    assert "known, not used for the model level (masked by setting): clinical data" in said
    with app.database.read() as session:
        job = current_job(session, series)
        assert job is not None
        assert job.revision == 2
    give(app, laboratory("7.5", control="LAB-10", order="O2"))  # known already
    assert revise_for_context(app, now=app.now()) == 0
    app.database.close()


def send_by_mllp(app: Application, text: str) -> None:
    """Send a message over the port, and read it as the node does."""
    listener = MllpListener(
        Receiver(inbox=open_inbox(app.settings), policy=AcceptPolicy()),
        host="127.0.0.1",
        port=0,
        limits=MllpLimits(),
    )
    listener.start()
    client = MllpClient(listener.port)
    assert code_of(client.send(text)) == "AA"
    client.close()
    listener.stop()
    take_messages(app)


def kill_at(app: Application, point: str, faults: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start a command that is killed (SIGKILL) at a barrier."""
    faults.mkdir(exist_ok=True)
    (faults / f"{point}.json").write_text(json.dumps({"action": "kill"}))
    inject = str(REPOSITORY / "tests" / "faults" / "inject")
    settings = app.settings
    return subprocess.Popen(
        [sys.executable, *command],
        env={
            **os.environ,
            "FAULT_FOLDER": str(faults),
            "PYTHONPATH": os.pathsep.join([inject, str(REPOSITORY), *sys.path]),
            "PULMONODE_DATA_DIR": str(settings.data_dir),
            "PULMONODE_DISK_RESERVE_BYTES": "0",
            "PULMONODE_CONTEXT_ISSUERS": json.dumps(settings.context_issuers),
            "PULMONODE_CONTEXT_DEFAULT_ISSUER": settings.context_default_issuer,
        },
    )


def rows(app: Application) -> list[str]:
    with app.database.read() as session:
        return list(session.scalars(select(ContextMessage.control_id)))


@pytest.mark.parametrize("point", ["context_before_commit", "context_committed"])
def test_a_reader_that_is_killed_after_aa_loses_and_doubles_no_message(
    app: Application, tmp_path: Path, point: str
) -> None:
    inbox = open_inbox(app.settings)
    for number in range(3):
        text = laboratory(str(number + 1), control=f"K{number}", order=f"O{number}")
        inbox.accept(text.encode(), ".hl7")

    reader = kill_at(app, point, tmp_path / "faults", "-m", "workers.cli.main", "context", "retry")
    assert reader.wait(timeout=240) == -signal.SIGKILL
    assert (tmp_path / "faults" / f"{point}.hit").exists()
    assert len(inbox.waiting()) == 3
    take_messages(app)

    assert sorted(rows(app)) == ["K0", "K1", "K2"]
    assert inbox.waiting() == []
    assert numbers(known(app)) != {}
    app.database.close()


def test_a_port_that_is_killed_before_aa_has_the_message_or_gets_it_again(
    app: Application, tmp_path: Path
) -> None:
    port = free_port()
    os.environ["PULMONODE_HL7_PORT"] = str(port)
    try:
        listener = kill_at(
            app, "context_durable", tmp_path / "faults", "-m", "workers.cli.main", "hl7"
        )
    finally:
        del os.environ["PULMONODE_HL7_PORT"]

    def connects() -> MllpClient | None:
        assert listener.poll() is None
        try:
            return MllpClient(port)
        except OSError:
            return None

    client = wait_for(connects, limit_s=240, message="the HL7 port answers")
    assert isinstance(client, MllpClient)
    with pytest.raises(ConnectionError):
        client.send(laboratory(control="K1"))
    client.close()
    assert listener.wait(timeout=60) == -signal.SIGKILL

    inbox = open_inbox(app.settings)
    assert len(inbox.waiting()) == 1  # durable, though its sender heard nothing
    inbox.accept(laboratory(control="K1").encode(), ".hl7")  # so it is sent again
    take_messages(app)

    assert rows(app) == ["K1"]
    app.database.close()
