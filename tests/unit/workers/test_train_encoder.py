"""The commands that train and measure the cross-view encoder, on a tiny set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.attributes import ATTRIBUTES
from inference.deep_features import to_encoder
from inference.grading.bank import CaseRecord, make_bank, save_bank
from inference.grading.table import ModalityTable
from inference.training.rated_nodules import load_rated_nodules
from inference.training.shapes import EXCLUDED_PATIENTS, part_of
from inference.training.voi_backgrounds import VoiBackground
from inference.weights import load_weights
from tests.unit.inference.rated_tables import write_rated_tables
from tests.unit.workers.test_train_detector import run
from workers.bank.pictures import read_pictures
from workers.phantom import write_phantom
from workers.voi_training_data import prepare_voi_backgrounds

NUMBERS = (1, 2, *range(21, 45))
"""Two patients that must not be used, and some of every part."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_rated_tables(folder / "lidc", NUMBERS)
    for seed, name in enumerate(("first", "second")):
        write_phantom(
            folder / "ct" / name / "dicom",
            seed=seed,
            slices=32,
            spacing_mm=4.0,
            pixels=128,
            pixel_spacing_mm=2.8,
            noise_hu=10.0,
            descending=False,
            nodules=[],
        )
    return folder


def test_training_evaluation_and_the_graders_table_run_from_the_command_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A whole simulated thorax takes half a minute: the second phantom's lung is enough.
    monkeypatch.setattr("workers.encoder_data.TEST_THORACES", ())
    out, file = tmp_path / "out", tmp_path / "described.npz"
    figures, renderings = tmp_path / "figures.json", tmp_path / "renderings"

    run("train", "encoder", "--data", str(data), "--out", str(out), "--steps", "2",
        "--batch", "2", "--renderings", str(renderings), "--simulated", "0",
        "--by-everyone", "1", "--every", "6", "--unseen", "second", "--folds", "2",
        "--fold-steps", "1", "--cache", str(tmp_path / "cache"))  # fmt: skip
    run("evaluate", "encoder", "--data", str(data), "--model", str(out),
        "--renderings", str(renderings), "--folds", "2", "--json", str(figures),
        "--described", str(file))  # fmt: skip

    weights = load_weights("encoder", out)
    assert weights.facts["backgrounds"] == ["first"]
    assert weights.facts["unseen"] == ["second"]
    assert to_encoder(weights).config.features == 32
    measured = json.loads(figures.read_text())["rendered"]
    assert set(measured["by_one_reader"]["attributes"]) == set(ATTRIBUTES)
    with np.load(file) as table:
        rows = {name: table[name] for name in table.files}
    count = len(rows["rating"])
    for name, width in (("features", 32), ("attributes", 8), ("measures", 11)):
        assert rows[name].shape == (count, width)
    for name in ("radiomics2d", "radiomics3d"):
        assert rows[name].shape == (count, len(rows[f"{name}_names"]))
    assert not {str(name) for name in rows["patient"]} & EXCLUDED_PATIENTS
    for patient, part in zip(rows["patient"], rows["part"], strict=True):
        assert part == part_of(str(patient))
    assert set(rows["part"].tolist()) == {"train", "tune", "test"}
    assert rows["out_of_fold"].all()
    assert set(rows["reader"].tolist()) == {-1, 0, 1, 2}


def test_cases_of_a_bank_are_drawn_for_the_console(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As above: the phantom's lung, instead of half a minute for a whole simulated one.
    def in_the_phantom(folder: Path, *_: object, **kept: Any) -> list[VoiBackground]:
        return prepare_voi_backgrounds(folder, ["first"], {}, **{**kept, "simulated": ()})

    monkeypatch.setattr("workers.bank_drawing.prepare_voi_backgrounds", in_the_phantom)
    nodules = load_rated_nodules(data / "lidc", parts=("train",))[:3]
    records = [
        CaseRecord(
            case_id=name, patient="p", rating=3.0, evidence="reader-rated", source="LIDC-IDRI"
        )
        for name in (*(item.shape.nodule_id for item in nodules), "of another bank")
    ]
    table = ModalityTable(
        features={"ct_measures": np.zeros((4, 1), dtype=np.float32)},
        names={"ct_measures": ("volume",)},
        patients=np.array(["p"] * 4),
        nodules=np.array([record.case_id for record in records]),
        rating=np.full(4, 3.0),
    )
    bank, out = tmp_path / "bank.safetensors", tmp_path / "pictures.safetensors"
    save_bank(make_bank("test", records, table), bank)

    said = run("train", "pictures", str(bank), "--data", str(data), "--out", str(out))

    drawn = read_pictures(out)
    assert f"drew {len(drawn)} cases" in said
    assert drawn
    assert set(drawn) <= {item.shape.nodule_id for item in nodules}
    for picture in drawn.values():
        middle = picture[20:28, 20:28].mean()
        assert middle > np.median(picture)  # a nodule in the middle, lung around it
