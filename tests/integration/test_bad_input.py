"""Whatever is wrong with a series, the admin sees a job with a reason, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.compose.identity import derive_uid
from dicom_node.mini_pacs import MiniPacs
from tests.integration.bad_series import HEADER_CASES, again, plain_series, renamed, save
from tests.integration.service import NO_NETWORKS, Service, free_port, wait_for
from workers.state.schema import JobState


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniPacs]:
    pacs = MiniPacs(folder=tmp_path_factory.mktemp("recorder"), ae_title="RECORDER")
    pacs.start()
    yield pacs
    pacs.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, recorder: MiniPacs) -> Iterator[Service]:
    port = free_port()
    recorder.commitment_peer = Service(folder=Path("unused"), port=port).peer
    running = Service(
        folder=tmp_path_factory.mktemp("service"),
        port=port,
        destinations=[
            {
                "name": "recorder",
                "ae_title": recorder.ae_title,
                "host": recorder.host,
                "port": recorder.port,
            }
        ],
        environment=NO_NETWORKS,
    )
    running.start()
    yield running
    running.stop()


def files_of(phantom: Path) -> list[Path]:
    return sorted(phantom.glob("*.dcm"))


@dataclass(frozen=True)
class Ended:
    """A series with something wrong, its job, and how many objects left while it was judged."""

    sent: list[Dataset]
    job: dict[str, Any]
    left: int


@pytest.fixture(scope="module")
def ended(
    service: Service, recorder: MiniPacs, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """All of them at once, so that one quiet time serves them all."""
    before = len(recorder.received())
    sent = {}
    for name, (_, _, change) in HEADER_CASES.items():
        sent[name] = change(plain_series(name))
        if name == "no_lungs":
            # A slab of water under air: densities are plausible, lungs are not there.
            hu = np.full((64, 64), -1000, dtype=np.int16)
            hu[20:50, 8:56] = 20
            for ds in sent[name]:
                ds.PixelData = (hu + 1024).astype("<u2").tobytes()
        service.send(save(sent[name], tmp_path_factory.mktemp(name)))
    jobs = {
        name: service.wait_for_job(str(datasets[0].SeriesInstanceUID))
        for name, datasets in sent.items()
    }
    left = len(recorder.received()) - before
    return {name: Ended(datasets, jobs[name], left) for name, datasets in sent.items()}


@pytest.mark.parametrize("name", HEADER_CASES)
def test_a_series_that_cannot_be_analysed_ends_with_its_reason(
    name: str, ended: dict[str, Ended]
) -> None:
    code, words, _ = HEADER_CASES[name]
    job = ended[name].job

    assert (job["state"], job["reason_code"]) == (JobState.NOT_ELIGIBLE, code)
    assert words in job["reason"]
    assert job["instances"] == len(ended[name].sent)
    assert job["objects"] == []
    assert ended[name].left == 0


def test_a_file_that_is_cut_short_quarantines_its_series(service: Service, tmp_path: Path) -> None:
    datasets = plain_series("truncated")
    paths = save(datasets, tmp_path)
    paths[5].write_bytes(paths[5].read_bytes()[:-1000])

    service.send(paths)
    job = service.wait_for_job(str(datasets[0].SeriesInstanceUID))

    assert (job["state"], job["reason_code"]) == (JobState.QUARANTINED, "truncated")
    assert str(datasets[5].SOPInstanceUID) in job["reason"]


def test_a_file_whose_header_is_cut_is_a_visible_job_of_its_own(
    service: Service, tmp_path: Path
) -> None:
    (ds,) = plain_series("garbled", slices=1)
    (path,) = save([ds], tmp_path)
    path.write_bytes(path.read_bytes()[:420])

    service.send([path])
    job = service.wait_for_job(str(ds.SOPInstanceUID))

    assert (job["state"], job["reason_code"]) == (JobState.QUARANTINED, "unreadable")


def test_two_patients_in_one_study_are_quarantined(service: Service, tmp_path: Path) -> None:
    first, second = plain_series("patient one"), plain_series("patient two")
    for ds in second:
        ds.StudyInstanceUID = first[0].StudyInstanceUID

    service.send(save(first, tmp_path / "1") + save(second, tmp_path / "2"))
    jobs = [service.wait_for_job(str(group[0].SeriesInstanceUID)) for group in (first, second)]

    assert [job["state"] for job in jobs] == [JobState.QUARANTINED] * 2
    assert {job["reason_code"] for job in jobs} == {"conflicting_patient"}
    assert "patient_name" in jobs[0]["reason"]
    assert "Name^" not in jobs[0]["reason"]


def test_the_same_uid_with_other_pixels_is_quarantined(service: Service, tmp_path: Path) -> None:
    datasets = plain_series("other pixels")
    paths = save(datasets, tmp_path / "first")
    datasets[2].PixelData = bytes(len(datasets[2].PixelData))

    service.send([*paths, *save([datasets[2]], tmp_path / "second")])
    job = service.wait_for_job(str(datasets[0].SeriesInstanceUID))

    assert (job["state"], job["reason_code"]) == (JobState.QUARANTINED, "pixels_changed")
    assert job["instances"] == len(datasets)


def test_a_series_sent_twice_is_analysed_once_and_delivered_once(
    service: Service, recorder: MiniPacs, small_phantom: Path, tmp_path: Path
) -> None:
    datasets = renamed(files_of(small_phantom), "sent twice")
    paths = save(datasets, tmp_path)
    uid = str(datasets[0].SeriesInstanceUID)

    service.send(paths)
    service.send(paths)
    job = service.wait_for_job(uid)
    by_command = service.cli("send", str(tmp_path), "--to", f"PULMONODE@127.0.0.1:{service.port}")
    later = wait_for(
        lambda: not list((service.folder / "data/spool/inbox").iterdir()),
        limit_s=20,
        message="the inbox is indexed",
    )
    again_job = service.wait_for_job(uid)

    assert later
    assert "took 64 instances" in by_command.stdout
    assert job["state"] == JobState.CONFIRMED
    assert (again_job["id"], again_job["revision"]) == (job["id"], 1)
    assert job["instances"] == len(datasets)
    ours = [item["sop_instance_uid"] for item in job["objects"]]
    received = [record.sop_instance_uid for record in recorder.received()]
    assert [received.count(item) for item in ours] == [1, 1]


def test_an_association_aborted_in_the_middle_loses_nothing_that_was_acknowledged(
    service: Service, tmp_path: Path
) -> None:
    datasets = plain_series("aborted")
    paths = save(datasets, tmp_path)

    service.send(paths, abort_after=9)
    job = service.wait_for_job(str(datasets[0].SeriesInstanceUID))

    assert (job["state"], job["reason_code"]) == (JobState.NOT_ELIGIBLE, "too_few_slices")
    assert job["instances"] == 9


def test_our_own_report_routed_back_never_starts_a_job(
    service: Service, recorder: MiniPacs, small_phantom: Path, tmp_path: Path
) -> None:
    datasets = renamed(files_of(small_phantom), "routed back")
    service.send(save(datasets, tmp_path))
    job = service.wait_for_job(str(datasets[0].SeriesInstanceUID))
    ours = {item["sop_instance_uid"]: item for item in job["objects"]}
    paths = [r.path for r in recorder.received() if r.sop_instance_uid in ours]
    before = len(recorder.received())

    service.send(paths)
    returned = [service.wait_for_job(item["series_instance_uid"]) for item in ours.values()]

    assert [item["state"] for item in returned] == [JobState.NOT_ELIGIBLE] * 2
    assert {item["reason_code"] for item in returned} == {"own_object"}
    assert len(recorder.received()) == before


def test_of_two_series_of_a_study_the_better_one_is_analysed(
    service: Service, small_phantom: Path, tmp_path: Path
) -> None:
    good = renamed(files_of(small_phantom), "better")
    thick = [again(ds, "thick") for ds in good[::2]]
    for ds in thick:
        ds.SeriesInstanceUID = derive_uid("thick series")
        ds.SliceThickness = 5.5
        ds.ImagePositionPatient = [
            *ds.ImagePositionPatient[:2],
            float(ds.ImagePositionPatient[2]) / 2,
        ]

    service.send(save(thick, tmp_path / "thick") + save(good, tmp_path / "good"))
    chosen = service.wait_for_job(str(good[0].SeriesInstanceUID))
    other = service.wait_for_job(str(thick[0].SeriesInstanceUID))

    assert chosen["state"] == JobState.CONFIRMED
    assert (other["state"], other["reason_code"]) == (
        JobState.NOT_ELIGIBLE,
        "better_series_chosen",
    )
    assert str(good[0].SeriesInstanceUID) in other["reason"]


def test_the_doctor_finds_a_running_service_in_order(service: Service) -> None:
    done = service.cli("doctor", "--json")
    checks = {item["what"]: item["ok"] for item in json.loads(done.stdout)}

    assert done.returncode == 0, done.stdout
    assert checks["destination recorder"] is True
    assert checks["state database"] is True
    assert checks["rules"] is True


def test_no_patient_data_reach_the_log(service: Service) -> None:
    """After all that this module has sent, refusals and conflicts included."""
    text = service.log.read_text()

    assert "job_analysed" in text
    for planted in ("Name^", "ID-", "PHANTOM", "Phantom^Chest"):
        assert planted not in text
