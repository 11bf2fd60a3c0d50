"""Weights of the site's own: used where its folder names them, refused where they are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.errors import WeightsRefused
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.weights import load_weights, save_weights
from workers.detector_choice import detector_of, segmenter_of
from workers.settings import Settings

SMALL = CentreDetectorConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1))


def trained(folder: Path, **facts: float) -> str:
    """Weights of a small network in a folder; their sha256."""
    return save_weights(
        "detector",
        CentreDetector(SMALL).state_dict(),
        folder,
        version="of the site",
        config=SMALL.to_dict(),
        facts=facts,
    )


def settings(folder: Path) -> Settings:
    return Settings(weights_dir=folder, backend="torch")


def test_the_sites_detector_is_used_and_what_it_did_not_train_is_ours(tmp_path: Path) -> None:
    digest = trained(tmp_path, threshold=0.3)

    detector = detector_of(settings(tmp_path))

    assert detector.weights == {"detector": digest}
    assert detector.report_from == 0.3
    assert segmenter_of(settings(tmp_path)).weights == {
        "segmenter": load_weights("segmenter").sha256
    }


def test_a_detector_without_a_threshold_is_refused_with_the_remedy(tmp_path: Path) -> None:
    trained(tmp_path)

    with pytest.raises(WeightsRefused, match="--threshold-into"):
        detector_of(settings(tmp_path))


def test_a_folder_that_no_training_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match="no folder of a training"):
        segmenter_of(settings(tmp_path / "elsewhere"))
