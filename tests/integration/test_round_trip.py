"""The main job with real peers: dcmsend -> Orthanc -> auto-route -> us (Redis) -> Orthanc."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_node.compose.identity import notice_uid
from dicom_node.mini_pacs import MiniPacs
from tests.conftest import REPOSITORY, need_ct, need_program
from tests.integration.bad_series import plain_series, save
from tests.integration.service import NO_NETWORKS, Service, free_port, wait_for
from workers.state.schema import JobState

SR = "1.2.840.10008.5.1.4.1.1.88.33"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass
class Orthanc:
    http_port: int
    dicom_port: int

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            return json.load(answer)

    def answers(self) -> bool:
        try:
            self.get("/system")
        except OSError:
            return False
        return True

    def series_of_study(self) -> dict[str, list[dict[str, Any]]]:
        """Modality -> series of the only study."""
        (study,) = self.get("/studies")
        found: dict[str, list[dict[str, Any]]] = {}
        for series in self.get(f"/studies/{study}")["Series"]:
            described = self.get(f"/series/{series}")
            found.setdefault(described["MainDicomTags"]["Modality"], []).append(described)
        return found


@pytest.fixture
def make_orthanc(tmp_path: Path) -> Iterator[Callable[[int], Orthanc]]:
    program = need_program("Orthanc")
    started: list[subprocess.Popen[bytes]] = []

    def make(pulmonode_port: int) -> Orthanc:
        folder = tmp_path / "orthanc"
        folder.mkdir()
        orthanc = Orthanc(http_port=free_port(), dicom_port=free_port())
        text = (REPOSITORY / "deploy/orthanc/orthanc.json").read_text()
        for name, value in {
            "FOLDER": folder,
            "ROUTE": REPOSITORY / "deploy/orthanc/route.lua",
            "HTTP_PORT": orthanc.http_port,
            "DICOM_PORT": orthanc.dicom_port,
            "PULMONODE_PORT": pulmonode_port,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        (folder / "orthanc.json").write_text(text)
        with (folder / "orthanc.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [program, str(folder / "orthanc.json")],
                    env={**os.environ, "TCP_NODELAY": "1"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        wait_for(orthanc.answers, limit_s=30, message="Orthanc answers")
        return orthanc

    yield make
    for process in started:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.peer
@pytest.mark.real_ct
def test_a_series_that_orthanc_routes_comes_back_once_and_confirmed(
    make_service: Callable[..., Service],
    make_recorder: Callable[..., MiniPacs],
    make_orthanc: Callable[[int], Orthanc],
    redis_url: str,
) -> None:
    ct = need_ct("lidc_idri_0001") / "dicom"
    dcmsend = need_program("dcmsend")
    port = free_port()
    orthanc = make_orthanc(port)
    recorder = make_recorder(port)
    service = make_service(
        port=port,
        destinations=[
            {
                "name": "orthanc",
                "ae_title": "ORTHANC",
                "host": "127.0.0.1",
                "port": orthanc.dicom_port,
            },
            {
                "name": "recorder",
                "ae_title": "RECORDER",
                "host": "127.0.0.1",
                "port": recorder.port,
            },
        ],
        environment={
            "PULMONODE_CALLING_AE_TITLES": "ORTHANC,TESTER",
            "PULMONODE_BROKER_URL": redis_url,
        },
    )

    subprocess.run(
        [
            dcmsend,
            "--no-halt",
            "--scan-directories",
            "--aetitle",
            "SCANNER",
            "--call",
            "ORTHANC",
            "127.0.0.1",
            str(orthanc.dicom_port),
            str(ct),
        ],
        env={**os.environ, "TCP_NODELAY": "1"},
        check=True,
        capture_output=True,
    )
    (routed,) = wait_for(service.jobs, limit_s=60, message="Orthanc routes the series")
    job = service.wait_for_job(routed["series_instance_uid"], limit_s=180)
    series = wait_for(
        lambda: (found := orthanc.series_of_study()) and len(found) == 3 and found,
        limit_s=30,
        message="Orthanc shows CT, SR and SEG",
    )
    shown = service.cli("jobs", "show", str(job["id"]))

    assert job["state"] == JobState.CONFIRMED
    assert "confirmed" in shown.stdout
    assert job["calling_ae"] == "ORTHANC"
    assert {name: len(found) for name, found in series.items()} == {"CT": 1, "SR": 1, "SEG": 1}
    assert len(series["CT"][0]["Instances"]) == 133
    ours = {item["sop_instance_uid"] for item in job["objects"]}
    for modality in ("SR", "SEG"):
        (instance,) = series[modality][0]["Instances"]
        assert orthanc.get(f"/instances/{instance}")["MainDicomTags"]["SOPInstanceUID"] in ours
    assert sorted(record.sop_class_uid for record in recorder.received()) == sorted([SR, SEG])
    assert {record.sop_instance_uid for record in recorder.received()} == ours
    for delivery in job["deliveries"]:
        assert delivery["state"] == "confirmed"
        assert [item["committed"] for item in delivery["commitments"]] == [2]
        assert [item["failed"] for item in delivery["commitments"]] == [[]]
    assert len(service.jobs()) == 1  # nothing that came back started a job


@pytest.mark.peer
def test_a_study_of_which_nothing_can_be_analysed_gets_one_report_that_says_so(
    make_service: Callable[..., Service], make_orthanc: Callable[[int], Orthanc], tmp_path: Path
) -> None:
    thick, again, localizer = (plain_series(key, slices=4) for key in ("thick", "again", "scout"))
    for ds in (*thick, *again):
        ds.SliceThickness = "8.0"
    for ds in localizer:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    for ds in (*again, *localizer):
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
            setattr(ds, keyword, thick[0][keyword].value)
    port = free_port()
    orthanc = make_orthanc(port)
    service = make_service(
        port=port,
        destinations=[
            {
                "name": "orthanc",
                "ae_title": "ORTHANC",
                "host": "127.0.0.1",
                "port": orthanc.dicom_port,
            }
        ],
        environment={**NO_NETWORKS, "PULMONODE_NOT_ANALYSED_WAIT_S": "4"},
    )

    service.send(save([*thick, *again, *localizer], tmp_path / "sent"))
    job = service.wait_for_job(notice_uid(str(thick[0].StudyInstanceUID)))
    series = orthanc.series_of_study()

    assert (job["state"], len(job["objects"])) == (JobState.CONFIRMED, 1)
    assert [about["code"] for about in job["not_analysed"]] == ["thickness", "thickness"]
    assert {name: len(found[0]["Instances"]) for name, found in series.items()} == {"SR": 1}
    (report,) = series["SR"]
    assert "NOT ANALYSED" in report["MainDicomTags"]["SeriesDescription"]
    assert sorted(row["state"] for row in service.jobs()) == [
        JobState.CONFIRMED,
        *[JobState.NOT_ELIGIBLE] * 3,
    ]
