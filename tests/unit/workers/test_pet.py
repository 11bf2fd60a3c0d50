"""A PET beside a CT: from files to the numbers of findings and report, and what is not used."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydicom import dcmread
from sqlalchemy import update

from dicom_node.compose.ct import CtIdentity, write_ct_series
from dicom_node.read.eligibility import load_rules
from dicom_node.read.series import load_ct_series
from inference.pet.uptake import SuvVolume
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from tests.conftest import REPOSITORY
from tests.unit.dicom_node.read.pet_files import write_pet
from tests.unit.dicom_node.read.test_suv import pet
from tests.unit.workers.rows import receive, with_settings
from workers.application import Application
from workers.case import CaseResult
from workers.errors import StoreUnavailable
from workers.local import analyse_folder
from workers.pet import pet_beside
from workers.state.schema import Instance
from workers.usecases.find_pet import find_pet

PLACE = np.array([-57.955, 18.479, 40.0])
DIAMETER_MM = 20.0
SUV_AT, SUV_AROUND = 6.0, 0.5
G_PER_ML = 70_000 / (370e6 * 2 ** (-3600 / 6586.2))
IDENTITY = CtIdentity(key="pet ct", patient_id="4711", patient_sex="M")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ct_with_nodule(tmp_path_factory.mktemp("pet") / "ct", IDENTITY)


def ct_with_nodule(folder: Path, identity: CtIdentity) -> Path:
    """A CT with one nodule, where `pet_of` has its hot ball."""
    phantom = make_phantom(
        PhantomSpec(
            slices=64,
            slice_spacing_mm=4.0,
            pixels=256,
            pixel_spacing_mm=1.4,
            vessels=False,
            nodules=(PhantomNodule(diameter_mm=DIAMETER_MM, centre_lps_mm=tuple(PLACE)),),
        )
    )
    write_ct_series(folder, hu=phantom.volume.hu, affine=phantom.volume.affine, identity=identity)
    return folder


def pet_of(ct: Path, folder: Path, **values: str) -> list[Path]:
    """A PET of the same study and frame: a hot ball where the nodule is, 4 mm voxels."""
    first = dcmread(next(iter(sorted(ct.glob("*.dcm")))), stop_before_pixels=True)
    shape = (64, 80, 80)
    affine = np.array([[0, 0, 4.0, -160], [0, 4.0, 0, -160], [4.0, 0, 0, -88], [0, 0, 0, 1]])
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    away = np.linalg.norm((index @ affine.T)[..., :3] - PLACE, axis=-1)
    suv = np.where(away <= DIAMETER_MM / 2, SUV_AT, SUV_AROUND)
    slope = SUV_AT / G_PER_ML / 10_000
    return write_pet(
        folder,
        np.round(suv / G_PER_ML / slope).astype(np.int16),
        affine,
        np.full(shape[0], slope),
        header=pet(),
        identity=CtIdentity(
            key="its pet", patient_id="4711", study_instance_uid=str(first.StudyInstanceUID)
        ),
        **{"FrameOfReferenceUID": str(first.FrameOfReferenceUID)} | values,
    )


OTHER_FRAME = "1.2.3.9"
AWAY_MM = np.array([20.0, -15.0, 300.0])
"""From the CT's frame of reference to the other one."""


def moved_away(paths: list[Path], **values: str) -> list[Path]:
    """The same images, in the other frame of reference."""
    for path in paths:
        ds = dcmread(path)
        ds.ImagePositionPatient = [float(v) for v in np.array(ds.ImagePositionPatient) + AWAY_MM]
        ds.FrameOfReferenceUID = OTHER_FRAME
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return paths


def own_ct_of(ct: Path, folder: Path, **values: str) -> list[Path]:
    """The CT that was taken with the PET: a series of the same study, in the other frame."""
    folder.mkdir(parents=True)
    paths = []
    for number, path in enumerate(sorted(ct.glob("*.dcm")), start=1):
        ds = dcmread(path)
        ds.SeriesInstanceUID = "1.2.3.8"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.8.{number}"
        paths.append(folder / path.name)
        ds.save_as(paths[-1])
    return moved_away(paths, **values)


def analyse(ct: Path, beside: Path) -> CaseResult:
    found = analyse_folder(ct, load_rules(None), context=None, pet=beside, progress=lambda _: None)
    assert isinstance(found, CaseResult)
    return found


def test_the_nodules_uptake_stands_in_findings_and_report(ct: Path, tmp_path: Path) -> None:
    pet_of(ct, tmp_path / "pet")

    found = analyse(ct, tmp_path / "pet")

    (nodule,) = found.findings_json["nodules"]
    assert nodule["pet"]["suv_max"] == pytest.approx(SUV_AT, rel=1e-3)
    assert nodule["pet"]["suv_peak"] == pytest.approx(SUV_AT, rel=0.05)
    assert nodule["pet"]["mtv_mm3"] == pytest.approx(np.pi / 6 * DIAMETER_MM**3, rel=0.1)
    assert nodule["pet"]["tlg"] == pytest.approx(nodule["pet"]["mtv_mm3"] / 1000 * SUV_AT, rel=1e-3)
    assert "60 min" in found.findings_json["pet"]["suv"]
    jsonschema.validate(
        found.findings_json, json.loads((REPOSITORY / "docs/findings.schema.json").read_text())
    )
    values = measured(found)
    assert values["126401", "56851009"] == (pytest.approx(SUV_AT, abs=0.01), "{SUVbw}g/ml")
    assert values["126401", "126031"][0] == pytest.approx(nodule["pet"]["suv_peak"], abs=0.01)
    assert values["126402", "126031"][1] == "{SUVlbm}g/ml"
    assert values["126033", ""][1] == "g"
    assert any("SUVmax 6.0" in text for text in texts(found))
    assert any("no level rests on it" in text for text in found.findings.limits)


def tree(found: CaseResult) -> list[Any]:
    (report,) = (item.data for item in found.objects if "SR" in str(item.kind).upper())
    waiting, seen = [dcmread(io.BytesIO(report))], []
    while waiting:
        item = waiting.pop()
        seen.append(item)
        waiting += item.get("ContentSequence", [])
    return seen


def measured(found: CaseResult) -> dict[tuple[str, str], tuple[float, str]]:
    """By code and derivation: value and unit."""
    values = {}
    for item in tree(found):
        if item.get("ValueType") == "NUM":
            derivation = next(
                (
                    part.ConceptCodeSequence[0].CodeValue
                    for part in item.get("ContentSequence", [])
                    if part.ConceptNameCodeSequence[0].CodeValue == "121401"
                ),
                "",
            )
            value = item.MeasuredValueSequence[0]
            values[item.ConceptNameCodeSequence[0].CodeValue, derivation] = (
                float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue
            )  # fmt: skip
    return values


def texts(found: CaseResult) -> list[str]:
    return [str(item.TextValue) for item in tree(found) if item.get("ValueType") == "TEXT"]


def test_a_pet_in_another_frame_is_measured_through_the_ct_that_was_taken_with_it(
    ct: Path, tmp_path: Path
) -> None:
    moved_away(pet_of(ct, tmp_path / "pet"))
    own_ct_of(ct, tmp_path / "pet" / "its ct")

    found = analyse(ct, tmp_path / "pet")

    (nodule,) = found.findings_json["nodules"]
    assert nodule["pet"]["suv_max"] == pytest.approx(SUV_AT, rel=1e-3)
    assert nodule["pet"]["mtv_mm3"] == pytest.approx(np.pi / 6 * DIAMETER_MM**3, rel=0.1)
    registration = found.findings_json["pet"]["registration"]
    assert registration["ct_series_instance_uid"] == "1.2.3.8"
    assert registration["residual_mm"] == pytest.approx(nodule["pet"]["corrected_mm"])
    jsonschema.validate(
        found.findings_json, json.loads((REPOSITORY / "docs/findings.schema.json").read_text())
    )
    said = texts(found)
    assert any("place by registration of two CTs" in text for text in said)
    assert any("PET in another frame of reference: places carried over" in text for text in said)
    assert any("never on patients' PET" in text for text in said)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"FrameOfReferenceUID": "1.2.3"}, "send the CT that was taken with it"),
        ({"CorrectedImage": "DECY"}, "ATTN"),
    ],
)
def test_a_pet_that_cannot_be_used_is_a_warning(
    ct: Path, tmp_path: Path, values: dict[str, str], why: str
) -> None:
    pet_of(ct, tmp_path / "pet", **values)

    found = analyse(ct, tmp_path / "pet")

    assert found.findings_json["nodules"][0]["pet"] is None
    assert found.findings_json["pet"] is None
    (warning,) = [text for text in found.findings.quality.warnings if "PET" in text]
    assert why in warning


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"PatientID": "4712"}, "not the same patient for sure: Patient ID differ"),
        ({"IssuerOfPatientID": "ELSEWHERE"}, "Issuer of Patient ID differ"),
        ({"PatientBirthDate": "19010101"}, "birth date differ"),
        ({"PatientID": ""}, "without a Patient ID"),
    ],
)
def test_a_pet_of_another_patient_in_the_same_study_is_not_used(
    ct: Path, tmp_path: Path, values: dict[str, str], why: str
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))

    found = pet_beside(series, pet_of(ct, tmp_path / "pet", **values))

    assert isinstance(found, str)
    assert why in found


def test_a_name_that_is_written_otherwise_does_not_part_ct_and_pet(
    ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))

    found = pet_beside(series, pet_of(ct, tmp_path / "pet", PatientName="Phantom^Lung^Dr"))

    assert isinstance(found, SuvVolume)


def test_the_service_finds_the_pet_of_the_study(app: Application, ct: Path, tmp_path: Path) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    assert find_pet(app, series) == (None, ())
    receive(app, tmp_path, *map(dcmread, pet_of(ct, tmp_path / "pet")))

    found, warnings = find_pet(app, series)

    assert isinstance(found, SuvVolume)
    assert found.suv.max() == pytest.approx(SUV_AT, rel=1e-3)
    assert warnings == ()


def test_the_service_says_why_a_pet_is_not_used(app: Application, ct: Path, tmp_path: Path) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path, *map(dcmread, pet_of(ct, tmp_path / "pet", FrameOfReferenceUID="1.2.3")))

    found, (warning,) = find_pet(app, series)

    assert found is None
    assert "another Frame of Reference" in warning


def test_the_service_finds_the_ct_that_was_taken_with_the_pet(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path / "1", *map(dcmread, sorted(ct.glob("*.dcm"))))
    receive(app, tmp_path / "2", *map(dcmread, moved_away(pet_of(ct, tmp_path / "pet"))))
    receive(app, tmp_path / "3", *map(dcmread, own_ct_of(ct, tmp_path / "own")))

    found, warnings = find_pet(app, series)

    assert isinstance(found, SuvVolume)
    assert found.own_ct is not None
    assert found.own_ct.series == "1.2.3.8"
    assert found.own_ct.volume.affine[:3, 3] == pytest.approx(series.affine[:3, 3] + AWAY_MM)
    assert warnings == ()


def test_a_pets_own_ct_of_another_patient_or_unreadable_is_not_used(
    ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    pet_files = moved_away(pet_of(ct, tmp_path / "pet"))
    strangers = own_ct_of(ct, tmp_path / "strangers", PatientID="4712")
    one_slice = own_ct_of(ct, tmp_path / "slice")[:1]
    mixed = [*own_ct_of(ct, tmp_path / "mixed")[:-1], strangers[-1]]

    def refused(files: list[Path]) -> str:
        found = pet_beside(series, pet_files, lambda _frame: iter([files]))
        assert isinstance(found, str)
        return found

    for files, why in (
        (strangers, "Patient ID differ"),
        (mixed, "Patient ID differ"),
        (one_slice, "1 slice, at least"),
    ):
        assert "the CT that was taken with it cannot be used" in refused(files)
        assert why in refused(files)


def test_a_pets_own_ct_is_asked_for_only_in_another_frame(ct: Path, tmp_path: Path) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    asked = []

    def own_ct(frame: str) -> Iterator[list[Path]]:
        asked.append(frame)
        return iter(())

    same = pet_beside(series, pet_of(ct, tmp_path / "pet"), own_ct)
    other = pet_beside(series, moved_away(pet_of(ct, tmp_path / "other")), own_ct)

    assert isinstance(same, SuvVolume)
    assert isinstance(other, str)
    assert asked == [OTHER_FRAME]


def test_a_pet_whose_files_the_policy_let_go_is_no_pet(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path, *map(dcmread, pet_of(ct, tmp_path / "pet")))
    with app.database.write() as session:
        session.execute(update(Instance).values(stored=False))

    assert find_pet(app, series) == (None, ())


def test_a_store_that_is_away_is_waited_for(
    app: Application, ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path, *map(dcmread, pet_of(ct, tmp_path / "pet")))

    def away(_self: object, *_: object) -> None:
        raise StoreUnavailable("a bucket", "no answer")

    monkeypatch.setattr(type(app.store), "local_files", away)

    with pytest.raises(StoreUnavailable):
        find_pet(app, series)


def test_a_ct_with_more_images_than_a_series_may_have_is_no_pets_own(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    receive(app, tmp_path / "2", *map(dcmread, moved_away(pet_of(ct, tmp_path / "pet"))))
    own = own_ct_of(ct, tmp_path / "own")
    receive(app, tmp_path / "3", *map(dcmread, own))
    few = with_settings(app.settings, maximum_series_instances=len(own) - 1)

    found, (warning,) = find_pet(replace(app, settings=few), series)

    assert found is None
    assert "no CT in its own is here" in warning


def test_colour_in_a_pet_is_a_warning_and_no_crash(
    app: Application, ct: Path, tmp_path: Path
) -> None:
    series = load_ct_series(sorted(ct.glob("*.dcm")))
    datasets = [dcmread(path) for path in pet_of(ct, tmp_path / "pet")]
    for ds in datasets:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = ds.PixelData * 3
    receive(app, tmp_path, *datasets)

    found, (warning,) = find_pet(app, series)

    assert found is None
    assert "cannot be decoded" in warning or "decodes to" in warning
