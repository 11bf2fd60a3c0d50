"""Two folders of one patient: the later one is reported with what became of its nodules."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.read.eligibility import load_rules
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from tests.conftest import REPOSITORY
from workers.case import CaseResult
from workers.local import analyse_folder

PLACE = (-57.955, 18.479, 40.0)


def write(folder: Path, day: str, diameter_mm: float, **header: str) -> None:
    phantom = make_phantom(
        PhantomSpec(
            slices=64,
            slice_spacing_mm=4.0,
            pixels=256,
            pixel_spacing_mm=1.4,
            vessels=False,
            nodules=(PhantomNodule(diameter_mm=diameter_mm, centre_lps_mm=PLACE),),
        )
    )
    identity = CtIdentity(key=f"prior {day} {header}", patient_id="4711", study_date=day, **header)
    write_ct_series(folder, hu=phantom.volume.hu, affine=phantom.volume.affine, identity=identity)


def test_an_earlier_folder_of_the_patient_is_compared_and_another_patients_is_not(
    tmp_path: Path,
) -> None:
    write(tmp_path / "then", "20250701", 14.0)
    write(tmp_path / "other", "20250701", 14.0, patient_birth_date="19610101")
    write(tmp_path / "now", "20260101", 20.0)
    rules = load_rules(None)

    def analyse(prior: str) -> CaseResult:
        found = analyse_folder(
            tmp_path / "now", rules, context=None, prior=tmp_path / prior, progress=lambda _: None
        )
        assert isinstance(found, CaseResult)
        return found

    compared, refused = analyse("then"), analyse("other")

    (nodule,) = compared.findings_json["nodules"]
    growth = nodule["growth"]
    assert growth["status"] == "grown"
    assert growth["days"] == 184
    assert growth["matched_by"] == "place"
    assert nodule["tracking_uid"] == growth["prior_tracking_uid"]
    (content,) = compared.content.nodules
    assert content.growth is not None
    assert content.growth.doubling_days == growth["volume_doubling_days"]
    schema = json.loads((REPOSITORY / "docs/findings.schema.json").read_text())
    jsonschema.validate(compared.findings_json, schema)

    assert refused.findings_json["follow_up"] is None
    assert refused.findings_json["nodules"][0]["growth"] is None
    (doubt,) = [text for text in refused.findings.quality.warnings if "not compared" in text]
    assert "birth date" in doubt
    assert any("growth is not judged" in text for text in refused.findings.limits)
