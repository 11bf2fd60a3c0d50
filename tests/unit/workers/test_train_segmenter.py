"""The commands that train and measure the cube network, on a tiny set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from PIL import Image
from typer.testing import CliRunner

from inference.training.loop import TrainingConfig, train_detector
from inference.training.shapes import load_shapes
from inference.weights import load_weights, save_weights
from tests.unit.inference.lung_box import lung_box
from tests.unit.workers.test_train_detector import data, run  # noqa: F401 - a fixture
from workers.bland_altman import draw_bland_altman
from workers.cli.main import app
from workers.nifti import read_labels


@pytest.fixture(scope="module")
def detector(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A detector of one step: its mistakes are as good as any."""
    folder = tmp_path_factory.mktemp("detector")
    model = train_detector(
        load_shapes(data / "lidc", parts=("train",)),
        [lung_box()],
        TrainingConfig(steps=1, batch_size=1, patch_size=32),
        checkpoint=folder / "checkpoint.pt",
        progress=lambda _: None,
    )
    with torch.no_grad():
        model.head.bias[0] = 3.0  # sees nodules everywhere
    save_weights(
        "detector",
        model.state_dict(),
        folder,
        version="test",
        config=model.config.to_dict(),
        facts={"backgrounds": ["first"], "left_out": ["second"], "threshold": 0.5},
    )
    return folder


def test_training_and_evaluation_run_from_the_command_line(
    data: Path,  # noqa: F811
    detector: Path,
    tmp_path: Path,
) -> None:
    truth = json.loads((data / "ct" / "second" / "dicom" / "truth.json").read_text())["nodules"][0]
    entry = {
        "centre_lps_mm": truth["centre_lps_mm"],
        "diameter_mm": 20,
        "radius_mm": 14,
        "evaluate": True,
        "source": "phantom",
    }
    lesions = tmp_path / "lesions.yaml"
    lesions.write_text(json.dumps({"second": [entry]}))  # JSON is YAML
    common = ["--data", str(data), "--lesions", str(lesions), "--cache", str(tmp_path / "cache"),
              "--detector", str(detector)]  # fmt: skip
    out, figures, plot = tmp_path / "out", tmp_path / "figures.json", tmp_path / "plot.png"

    run("train", "segmenter", "--out", str(out), "--steps", "2", "--batch", "2",
        "--simulated", "0", "--leave-out", "second", *common)  # fmt: skip
    said = run("evaluate", "segmenter", "--model", str(out), "--json", str(figures),
               "--plot", str(plot), "--samples", "12", "--thoraces", "0", "--no-phantoms",
               *common)  # fmt: skip

    weights = load_weights("segmenter", out)
    assert weights.facts["backgrounds"] == ["first"]
    assert weights.facts["left_out"] == ["second"]
    assert weights.facts["steps"] == 2
    result = json.loads(figures.read_text())
    assert result["protocol"]["model"]["sha256"] == weights.sha256
    assert result["simulated"]["backgrounds"] == ["second"]
    assert result["simulated"]["network"]["all"]["count"] > 3
    assert result["simulated"]["other"]["all"]["count"] > 3
    assert 0 <= result["simulated"]["auc"]["all"] <= 1
    assert result["real"] == []
    assert "nodule or not" in said

    # A detector that finds none of them leaves nothing to fit on.
    refused = CliRunner().invoke(app, ["evaluate", "segmenter", "--model", str(out), "--combine",
                                       "--volumes", "1", *common])  # fmt: skip
    assert refused.exit_code == 1
    assert "candidates on nodules and candidates on none" in refused.output

    again = run("evaluate", "detector", "--model", str(detector), "--segmenter", str(out),
                "--volumes", "1", "--thoraces", "0", "--no-flips", "--no-classical",
                "--threshold", "0.5", "--json", str(figures), *common[:-2])  # fmt: skip

    result = json.loads(figures.read_text())
    assert set(result["simulated"]) == {"real background", "real background, second look"}
    assert len(result["real"]) == 2
    assert "second look" in again


def test_a_scan_that_is_not_there_cannot_be_left_out(data: Path, tmp_path: Path) -> None:  # noqa: F811
    result = CliRunner().invoke(
        app,
        ["train", "segmenter", "--data", str(data), "--out", str(tmp_path), "--leave-out", "third"],
    )

    assert result.exit_code == 1
    assert "no CT series third" in result.output


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_labels_are_read_as_simpleitk_reads_them(
    tmp_path: Path, suffix: str, kind: type[np.generic]
) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(kind)
    path = tmp_path / f"labels{suffix}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(labels), str(path))

    assert np.array_equal(read_labels(path), labels)


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.nii"
    path.write_bytes(b"something else" * 100)

    with pytest.raises(ValueError, match="not a NIfTI-1 file"):
        read_labels(path)


def test_a_plot_shows_bias_and_limits(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "plot.png"

    draw_bland_altman([(10.0, 11.0), (12.0, 12.5), (20.0, 20.1)], path, title="Long axis")

    with Image.open(path) as image:
        assert image.size == (900, 600)
        assert len(image.getcolors(maxcolors=10_000)) > 4
    shutil.rmtree(path.parent)


def test_a_plot_needs_two_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs two pairs"):
        draw_bland_altman([(1.0, 1.0)], tmp_path / "plot.png", title="Long axis")
