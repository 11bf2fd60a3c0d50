from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inference import centre_detection
from inference.backend import TorchBackend
from inference.centre_detection import find_peaks, to_window
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig

CONFIG = CentreDetectorConfig(widths=(4, 6, 8, 8), blocks=(1, 1, 1))
SPOT = np.array([22.0, 38.0, 30.0])


class BrightSpots:
    """Answers as a perfect network would: a cell's brightest voxel is the nodule's middle."""

    device = "cpu"

    def run(self, images: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
        batch, _, depth, height, width = images.shape
        cells = images[:, 0].reshape(batch, depth // 4, 4, height // 4, 4, width // 4, 4)
        cells = cells.transpose(0, 1, 3, 5, 2, 4, 6).reshape(
            batch, depth // 4, height // 4, width // 4, 64
        )
        at = cells.argmax(axis=-1)
        offset = np.stack([at // 16, at // 4 % 4, at % 4], axis=1) / 4 - 0.375
        logit = (cells.max(axis=-1) * 6.0)[:, None]
        return np.concatenate([logit, 0 * logit, offset], axis=1).astype(np.float32)


def spots(*places: np.ndarray) -> np.ndarray:
    hu = np.full((48, 64, 52), -860.0)
    for place in places:
        hu[tuple(place.astype(int))] = 300.0
    return hu


@pytest.mark.parametrize("flips", [False, True])
def test_a_peak_lies_where_the_network_says(flips: bool) -> None:
    """Mirrored views must be brought back; the width is no multiple of 16, so padding counts."""
    hu = spots(SPOT)

    peaks = find_peaks(BrightSpots(), CONFIG, hu, np.ones(hu.shape, dtype=bool), flips=flips)

    assert peaks[0, :3] == pytest.approx(SPOT, abs=0.01)
    assert peaks[0, 3] == pytest.approx(10.0)
    assert peaks[0, 4] > 0.9


def test_peaks_outside_the_search_region_are_left_out() -> None:
    hu = spots(SPOT, np.array([22.0, 8.0, 30.0]))
    search = np.zeros(hu.shape, dtype=bool)
    search[:, 24:] = True

    peaks = find_peaks(BrightSpots(), CONFIG, hu, search)

    assert len(peaks) == 1
    assert peaks[0, 1] == 38


def test_two_peaks_on_one_nodule_are_one() -> None:
    near = SPOT + np.array([0, 0, 4])  # 5 mm; a nodule of 10 mm

    peaks = find_peaks(BrightSpots(), CONFIG, spots(SPOT, near), np.ones((48, 64, 52), dtype=bool))

    assert len(peaks) == 1


def test_slabs_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a halo wider than the receptive field there are no seams."""
    torch.manual_seed(1)
    model = CentreDetector(CONFIG)
    hu = np.random.default_rng(0).normal(-700, 300, (256, 32, 32))
    whole = centre_detection._run_slabs(TorchBackend(model), to_window(hu, CONFIG))

    monkeypatch.setattr(centre_detection, "SLAB_VOXELS", 32 * 32 * 160)
    monkeypatch.setattr(centre_detection, "HALO", 64)
    parts = centre_detection._run_slabs(TorchBackend(model), to_window(hu, CONFIG))

    assert parts.shape == whole.shape
    assert np.abs(parts - whole).max() < 1e-3


def test_the_window_maps_its_ends_to_minus_one_and_one() -> None:
    window = to_window(np.array([-2000, -1000, -350, 300, 3000]), CONFIG)

    assert window.tolist() == [-1, -1, 0, 1, 1]
