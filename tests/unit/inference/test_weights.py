from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from inference.errors import WeightsRefused
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.weights import MANIFEST, load_weights, save_weights

SMALL = CentreDetectorConfig(widths=(4, 6, 8, 8), blocks=(1, 1, 1))


def save(folder: Path) -> CentreDetector:
    model = CentreDetector(SMALL)
    save_weights(
        "detector",
        model.state_dict(),
        folder,
        version="1",
        config=SMALL.to_dict(),
        facts={"seed": 3},
    )
    return model


def test_weights_come_back_with_their_configuration(tmp_path: Path) -> None:
    model = save(tmp_path)

    loaded = load_weights("detector", tmp_path)

    assert CentreDetectorConfig.from_dict(loaded.config) == SMALL
    assert loaded.facts == {"seed": 3}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.tensors[name])


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / "detector.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(WeightsRefused, match="the manifest says"):
        load_weights("detector", tmp_path)


def test_missing_weights_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match=r"weights detector: not in .*manifest\.json"):
        load_weights("detector", tmp_path)
    save(tmp_path)
    (tmp_path / "detector.safetensors").unlink()

    with pytest.raises(WeightsRefused, match="is missing"):
        load_weights("detector", tmp_path)


def test_a_second_set_leaves_the_first_in_the_manifest(tmp_path: Path) -> None:
    save(tmp_path)

    save_weights("other", {"a": torch.zeros(1)}, tmp_path, version="1", config={}, facts={})

    assert sorted(json.loads((tmp_path / MANIFEST).read_text())) == ["detector", "other"]
