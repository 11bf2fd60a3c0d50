from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from inference.errors import WeightsRefused
from inference.lungs import segment_lungs
from inference.models.retina_net import RetinaNet
from inference.phantom import PhantomNodule, PhantomSpec, make_phantom
from tests.unit.inference.monai_reference import reference_network
from workers.detector_choice import detector_of
from workers.doctor import examine
from workers.monai_bundle import load_bundle_detector, untrained_detector
from workers.settings import Settings


def write_bundle(folder: Path, content: Any) -> Path:
    (folder / "models").mkdir(parents=True)
    (folder / "configs").mkdir()
    torch.save(content, folder / "models" / "model.pt")
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.6.9"}))
    return folder


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(RetinaNet().state_dict())


@pytest.mark.parametrize("key", ["", "model", "state_dict"])
def test_a_bundle_becomes_a_detector(
    tmp_path: Path, state: dict[str, torch.Tensor], key: str
) -> None:
    folder = write_bundle(tmp_path / "bundle", {key: state} if key else state)

    detector = load_bundle_detector(folder, report_from=0.3)

    assert detector.version == "0.6.9"
    assert detector.report_from == 0.3
    assert detector.kind == "monai"
    (digest,) = detector.weights.values()
    assert len(digest) == 64


def test_a_state_dict_that_monai_saved_is_read(tmp_path: Path) -> None:
    theirs = reference_network()
    folder = write_bundle(tmp_path / "bundle", theirs.state_dict())

    detector = load_bundle_detector(folder)

    image = np.zeros((1, 1, 16, 16, 8), dtype=np.float32)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(image))["classification"][0]
    answer = detector._backend.run(image)
    assert answer[0, : wanted.numel(), 0] == pytest.approx(
        wanted[0].permute(1, 2, 3, 0).ravel().numpy(), abs=1e-5
    )


def test_without_metadata_the_checksum_is_the_version(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    folder = write_bundle(tmp_path / "bundle", state)
    (folder / "configs" / "metadata.json").unlink()

    detector = load_bundle_detector(folder)

    assert detector.version == next(iter(detector.weights.values()))[:12]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match=r"models/model\.pt is missing: unpack the bundle"):
        load_bundle_detector(tmp_path)


def test_weights_of_another_network_say_how_they_differ(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    other = dict(state)
    del other["feature_extractor.body.conv1.weight"]
    other["extra"] = torch.zeros(1)
    other["classification_head.cls_logits.bias"] = torch.zeros(5)

    with pytest.raises(WeightsRefused) as caught:
        load_bundle_detector(write_bundle(tmp_path / "bundle", other))

    text = str(caught.value)
    assert "lacks feature_extractor.body.conv1.weight" in text
    assert "has unknown extra" in text
    assert "has other shapes in classification_head.cls_logits.bias" in text


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("sprung"),)


def test_code_in_a_file_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_bundle(tmp_path / "bundle", {**state, "trap": Trap()})

    with pytest.raises(WeightsRefused, match="without running code"):
        load_bundle_detector(folder)

    assert not Path("sprung").exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(WeightsRefused, match="no state dict of tensors"):
        load_bundle_detector(write_bundle(tmp_path / "bundle", content))


def test_rubbish_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", {})
    (folder / "models" / "model.pt").write_bytes(b"\x80\x02 nothing")

    with pytest.raises(WeightsRefused, match="without running code"):
        load_bundle_detector(folder)


def test_settings_choose_the_bundle(
    tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_bundle(tmp_path / "bundle", state)
    monkeypatch.setenv("PULMONODE_DETECTOR", "monai")
    with pytest.raises(ValidationError, match="needs monai_bundle"):
        Settings()
    monkeypatch.setenv("PULMONODE_MONAI_BUNDLE", str(folder))
    monkeypatch.setenv("PULMONODE_MONAI_THRESHOLD", "0.4")

    detector = detector_of(Settings())

    assert (detector.kind, detector.report_from) == ("monai", 0.4)
    assert detector_of(Settings()) is detector  # read once per process


def test_the_doctor_names_the_bundle_or_what_is_wrong_with_it(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    def weights(folder: Path) -> Any:
        settings = Settings(data_dir=tmp_path, detector="monai", monai_bundle=folder)
        return next(check for check in examine(settings) if check.what == "weights")

    good = weights(write_bundle(tmp_path / "bundle", state))
    bad = weights(tmp_path / "nowhere")

    assert good.ok
    assert "MONAI bundle 0.6.9" in good.found
    assert not bad.ok
    assert "unpack the bundle" in bad.found


def test_untrained_weights_run_over_a_phantoms_lungs() -> None:
    spec = PhantomSpec(
        slices=60,
        pixels=128,
        slice_spacing_mm=4.0,
        pixel_spacing_mm=2.8,
        nodules=(PhantomNodule(diameter_mm=20.0),),
    )
    volume = make_phantom(spec).volume
    lungs = segment_lungs(volume)
    # A small part of it: the whole takes minutes on a CPU.
    lungs.search[:] = False
    middle = np.argwhere(lungs.lungs > 0)[len(np.argwhere(lungs.lungs > 0)) // 2]
    lungs.search[tuple(slice(at, at + 2) for at in middle)] = True

    candidates = untrained_detector(1).find_candidates(volume, lungs)

    assert all(0.02 < item.probability < 1 for item in candidates)
