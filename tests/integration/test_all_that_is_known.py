"""One patient's HL7, FHIR, PET and CT in mixed order through the running service, some late.

The other sides are not ours where there is a choice: OpenSSL's client speaks TLS to the HL7 port,
python-hl7's server is the RIS; the PACS is the recording one of the tests.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.compose.content_tree import walk
from dicom_node.compose.ct import CtIdentity
from dicom_node.mini_pacs import MiniPacs
from tests.conftest import need_program
from tests.integration.service import Service, free_port, wait_for
from tests.integration.test_clinical_context import analysed
from tests.unit.workers.context.fhir_server import bundle, observation, patient
from tests.unit.workers.context.known import give
from tests.unit.workers.context.messages import laboratory, message
from tests.unit.workers.context.test_mllp import write_certificate
from tests.unit.workers.outbound.ris import Ris, listening_ris
from tests.unit.workers.test_pet import SUV_AT, ct_with_nodule, pet_of
from workers.application import open_application
from workers.settings import Settings
from workers.state.schema import JobState
from workers.usecases.revise_for_context import revise_for_context

MODALITIES = ("ct_report", "clinical", "serology", "pet")
GRADED = {
    "PULMONODE_DETECTOR": "classical",
    "PULMONODE_SEGMENTER": "classical",
    "PULMONODE_GRADE_BY": ",".join(MODALITIES),
}
WHO = {"PatientName": "Roe^Jane", "PatientBirthDate": "19600402", "PatientSex": "F"}
IDENTITY = CtIdentity(
    key="all that is known",
    patient_id="4711",
    patient_name=WHO["PatientName"],
    patient_birth_date=WHO["PatientBirthDate"],
    patient_sex=WHO["PatientSex"],
    patient_age="065Y",
    study_date="20260302",
    accession_number="A-77",
)
ADT = message(
    "ADT^A08",
    "DG1|1||J43.9^Emphysema^I10|||F",
    "DG1|2||Z80.1^Family history^I10|||F",
    control="ADT-1",
)
REPORT = message(
    "ORU^R01",
    "OBR|1|R1|R1|CTCHEST^CT chest^L|||20260301|||||||||||A-77||||||||F",
    "OBX|1|TX|REPORT^Report^L||Solid nodule of 20 mm in the right upper lobe, spiculated.||||||F",
    control="RAD-1",
)
EARLY_LAB = laboratory("7.5", control="LAB-1")
LATE_LAB = laboratory("9.1", code="25390-6^CYFRA 21-1^LN", control="LAB-2", order="O2")
PACK_YEARS = {"value": 42, "system": "http://unitsofmeasure.org", "code": "{PackYears}"}
BUNDLE = bundle(
    patient(),
    observation("", "8664-5", effectiveDateTime="2026-02-01", valueQuantity=PACK_YEARS),
    id="FHIR-1",
    timestamp="2026-03-01T08:00:00Z",
)


@dataclass
class Site:
    """The service and all that it talks with."""

    service: Service
    pacs: MiniPacs
    ris: Ris
    hl7_port: int
    certificate: Path

    def tell(self, text: str) -> str:
        """Send an HL7 message by OpenSSL's own client; MSA-1 of the answer."""
        client = subprocess.Popen(
            [
                need_program("openssl"), "s_client", "-quiet", "-verify_return_error",
                "-connect", f"localhost:{self.hl7_port}", "-CAfile", str(self.certificate),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"\x0b" + text.encode() + b"\x1c\r")
            client.stdin.flush()
            said = b""
            while not said.endswith(b"\x1c\r") and (more := client.stdout.read(1)):
                said += more
            client.terminate()
        found = re.search(rb"MSA\|([A-Z]{2})\|", said)
        assert found is not None, said
        return found[1].decode()

    def findings(self, job: dict[str, Any]) -> dict[str, Any]:
        """The findings of a job, from the service's store."""
        found: dict[str, Any] = json.loads(
            (self.service.data / "store" / job["findings_path"]).read_text()
        )
        return found

    def result(self, series_uid: str, revision: int) -> tuple[dict[str, Any], Dataset]:
        """Job and SR of a revision that every destination has confirmed."""
        states = {JobState.CONFIRMED, JobState.FAILED, JobState.QUARANTINED, JobState.NOT_ELIGIBLE}

        def ended() -> dict[str, Any] | None:
            job = self.service.job(series_uid)
            there = job["revision"] == revision and JobState(job["state"]) in states
            return job if there else None

        job = wait_for(ended, limit_s=180, message=f"revision {revision} is confirmed")
        assert job["state"] == JobState.CONFIRMED, job
        (uid,) = [item["sop_instance_uid"] for item in job["objects"] if item["kind"] == "sr"]
        received = (dcmread(item.path) for item in self.pacs.received())
        return job, next(ds for ds in received if ds.SOPInstanceUID == uid)


@pytest.fixture
def site(
    tmp_path: Path, make_recorder: Callable[..., MiniPacs], make_service: Callable[..., Service]
) -> Iterator[Site]:
    certificate, key = write_certificate(tmp_path)
    port, hl7_port = free_port(), free_port()
    pacs = make_recorder(port)
    with listening_ris() as ris:
        service = make_service(
            port=port,
            destinations=[
                {"name": "pacs", "ae_title": "RECORDER", "host": "127.0.0.1", "port": pacs.port},
                {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": ris.port},
            ],
            environment={
                **GRADED,
                "PULMONODE_STUDY_HOLD_S": "2",
                "PULMONODE_HL7_PORT": str(hl7_port),
                "PULMONODE_HL7_TLS_CERTIFICATE": str(certificate),
                "PULMONODE_HL7_TLS_KEY": str(key),
                "PULMONODE_CONTEXT_ISSUERS": json.dumps({"HOSP": "HOSP", "urn:oid:1.2.3": "HOSP"}),
                "PULMONODE_CONTEXT_DEFAULT_ISSUER": "HOSP",
                "PULMONODE_CONTEXT_REVISES": "true",
            },
        )
        yield Site(service=service, pacs=pacs, ris=ris, hl7_port=hl7_port, certificate=certificate)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    return ct_with_nodule(tmp_path / "ct", IDENTITY)


def by_default(site: Site) -> Settings:
    """The settings of the service, but for what may count for a level."""
    names = ("CONTEXT_ISSUERS", "CONTEXT_DEFAULT_ISSUER", "CONTEXT_REVISES")
    told = {name.lower(): site.service.environment[f"PULMONODE_{name}"] for name in names}
    return Settings.model_validate(
        told
        | {
            "context_issuers": json.loads(told["context_issuers"]),
            "data_dir": site.service.data,
            "disk_reserve_bytes": 0,
            "detector": "classical",
            "segmenter": "classical",
        }
    )


def modalities(findings: dict[str, Any]) -> dict[str, Any]:
    """What each modality beside the pixels gave to the level of the only nodule."""
    (nodule,) = findings["nodules"]
    assert nodule["grade"]["level"], nodule["grade"]
    return {name: nodule["modalities"][name] for name in MODALITIES}


def sentences(sr: Dataset) -> str:
    return " ".join(str(item.TextValue) for item in walk(sr) if "TextValue" in item)


def test_what_is_known_comes_in_any_order_reaches_the_report_and_what_is_late_revises_it(
    site: Site, ct: Path, tmp_path: Path
) -> None:
    slices = sorted(ct.glob("*.dcm"))
    series = str(dcmread(slices[0], stop_before_pixels=True).SeriesInstanceUID)
    pet = pet_of(ct, tmp_path / "pet", **WHO)
    file = tmp_path / "bundle.json"
    file.write_bytes(BUNDLE)

    assert site.tell(ADT) == "AA"
    site.service.send(pet[:20])
    taken = site.service.cli("context", "import", str(file))
    site.service.send(slices[:30])
    assert (taken.returncode, "1 taken" in taken.stdout) == (0, True), taken.stderr
    assert site.tell(EARLY_LAB) == "AA"
    site.service.send([*slices[30:], *pet[20:]])
    assert site.tell(REPORT) == "AA"

    job, sr = site.result(series, 1)

    said = sentences(sr)
    for part in (
        "emphysema yes (HL7 message ADT-1, 2026-03-01)",
        "family history of lung cancer yes (HL7 message ADT-1, 2026-03-01)",
        "pack-years 42 (FHIR resource FHIR-1, 2026-02-01)",
        "CEA 7.5 ng/mL [H] (reference 0-5) (HL7 message LAB-1, 2026-03-01)",
        "age 65 years (CT header, 2026-03-02)",
        "described in the report (HL7 message RAD-1, 2026-03-01): 20 mm, solid, right upper lobe",
    ):
        assert part in said
    assert np.isclose(float(re.findall(r"SUVmax ([0-9.]+)", said)[0]), SUV_AT, rtol=0.02)
    assert "CYFRA" not in said
    shares = modalities(site.findings(job))
    assert all(share["present"] and not share.get("masked") for share in shares.values())
    assert all(share["contribution"] is not None for share in shares.values())
    assert "learned from SIMULATED patients" in said
    assert site.ris.statuses(0) == {"F"}
    assert str(site.ris.heard[0]["PID.F3.R1.C1"]) == "4711"
    assert str(site.ris.heard[0]["OBR.F18"]) == "A-77"
    assert {item["destination"] for item in job["deliveries"]} == {"pacs", "ris"}

    assert site.tell(LATE_LAB) == "AA"
    _, revised = site.result(series, 2)

    now = sentences(revised)
    assert "CYFRA 21-1 9.1 ng/mL [H] (reference 0-5) (HL7 message LAB-2, 2026-03-01)" in now
    assert "CEA 7.5 ng/mL" in now
    (before,) = revised.PredecessorDocumentsSequence
    referenced = before.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == sr.SOPInstanceUID
    assert len(site.ris.heard) == 2
    assert site.ris.statuses(1) == {"C"}

    site.service.stop()
    app = open_application(by_default(site))
    give(app, laboratory("31", code="15060-7^NSE^LN", control="LAB-3", order="O3"))
    assert revise_for_context(app, now=app.now()) == 1
    findings, said = analysed(app, series, tmp_path / "third")
    app.database.close()

    masked = {"present": True, "masked": True}
    shares = modalities(findings)
    assert {name: shares[name] for name in MODALITIES[1:]} == dict.fromkeys(MODALITIES[1:], masked)
    assert shares["ct_report"]["contribution"] is not None
    assert "NSE 31 ng/mL [H] (reference 0-5) (HL7 message LAB-3, 2026-03-01)" in said
    assert "known, not used for the model level (masked by setting)" in said
