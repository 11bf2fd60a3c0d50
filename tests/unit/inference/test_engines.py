"""Engines: one network, the same answers whatever runs it; memory that does not suffice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference import centre_detection, engines
from inference.backend import Backend, TorchBackend, run_in_portions
from inference.centre_detection import CentreHeatmapDetector, to_window
from inference.detectors import make_detector
from inference.engine_options import EngineOptions
from inference.engines import Choice, make_backend, possible_engines
from inference.errors import EngineUnavailable, OutOfMemory
from inference.findings import CaseFindings
from inference.lungs import segment_lungs
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.phantom import Phantom
from inference.pipeline import analyse
from tests.conftest import missing

CONVERTED = ("openvino", "onnxruntime")
POSITION_WITHIN_MM = 0.1
PROBABILITY_WITHIN = 1e-3
SMALL = CentreDetectorConfig(widths=(4, 6, 8, 8), blocks=(1, 1, 1))


def need_engine(name: str) -> None:
    if not engines._installed(name):  # type: ignore[arg-type]
        missing(f"engine {name}")


class ThreeHeads(nn.Module):
    """A mask, a number for each cell of a core, and classes: three answers of other shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.mask = nn.Conv3d(4, 1, 1)
        self.core = nn.Conv3d(4, 2, 3, stride=2, padding=1)
        self.classes = nn.Linear(4, 5)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.body(image)
        return self.mask(features), self.core(features), self.classes(features.mean((2, 3, 4)))


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", CONVERTED)
def test_any_batch_and_any_size_give_what_torch_gives(name: str) -> None:
    need_engine(name)
    torch.manual_seed(2)
    network = CentreDetector(SMALL)
    backend = make_backend(network, (1, 1, 32, 32, 32), EngineOptions(backend=name))  # type: ignore[arg-type]

    for shape in ((1, 1, 32, 32, 32), (3, 1, 48, 16, 80), (2, 1, 16, 64, 32)):
        wanted = TorchBackend(network).run(noise(*shape))
        assert np.abs(backend.run(noise(*shape)) - wanted).max() < 1e-4
    assert backend.engine.startswith(name)
    assert backend.device == "cpu"


@pytest.mark.parametrize("name", CONVERTED)
def test_every_answer_of_a_network_with_several_comes_in_order(name: str) -> None:
    need_engine(name)
    torch.manual_seed(3)
    network = ThreeHeads()
    backend = make_backend(network, (2, 1, 8, 8, 8), EngineOptions(backend=name))  # type: ignore[arg-type]

    wanted = TorchBackend(network).run_all(noise(5, 1, 12, 8, 10))
    found = backend.run_all(noise(5, 1, 12, 8, 10))

    assert [item.shape for item in found] == [(5, 1, 12, 8, 10), (5, 2, 6, 4, 5), (5, 5)]
    for right, answer in zip(wanted, found, strict=True):
        assert np.abs(answer - right).max() < 1e-5


def test_openvino_tells_nobody_that_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own converter reports to its vendor; ours must not come near that."""
    need_engine("openvino")
    import openvino_telemetry

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("telemetry was started")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "__init__", refuse)
    options = EngineOptions(backend="openvino")

    assert make_backend(CentreDetector(SMALL), (1, 1, 32, 32, 32), options).device == "cpu"


def assert_same_candidates(found: CaseFindings, wanted: CaseFindings) -> None:
    assert len(found.candidates) == len(wanted.candidates)
    for item in wanted.candidates:
        distances = [
            np.linalg.norm(np.subtract(other.centre_lps_mm, item.centre_lps_mm))
            for other in found.candidates
        ]
        nearest = found.candidates[int(np.argmin(distances))]
        assert min(distances) < POSITION_WITHIN_MM
        assert nearest.probability == pytest.approx(item.probability, abs=PROBABILITY_WITHIN)
        assert nearest.diameter_mm == pytest.approx(item.diameter_mm, abs=POSITION_WITHIN_MM)


@pytest.fixture(scope="module")
def by_torch(phantom: Phantom) -> CaseFindings:
    options = EngineOptions(backend="torch", device="cpu")
    return analyse(phantom.volume, detector=make_detector("trained", options))


@pytest.mark.parametrize("name", CONVERTED)
def test_the_shipped_detector_finds_the_same_on_every_engine(
    phantom: Phantom, by_torch: CaseFindings, name: str
) -> None:
    need_engine(name)
    detector = make_detector("trained", EngineOptions(backend=name))  # type: ignore[arg-type]

    found = analyse(phantom.volume, detector=detector)

    assert len(found.candidates) > 2
    assert_same_candidates(found, by_torch)
    assert (found.device, str(found.engine).split()[0]) == ("cpu", name)
    assert str(by_torch.engine).startswith("torch ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_finds_what_the_cpu_finds(phantom: Phantom, by_torch: CaseFindings) -> None:
    """The bound that docs/performance.md states."""
    detector = make_detector("trained", EngineOptions(device="cuda:0"))

    found = analyse(phantom.volume, detector=detector)

    assert found.device == "cuda:0"
    assert_same_candidates(found, by_torch)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The engines that seem to be installed; none to begin with."""
    names: set[str] = set()
    monkeypatch.setattr(engines, "_installed", lambda name: name in names)
    return names


def cuda_devices(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_the_fastest_that_is_installed(
    installed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_devices(monkeypatch, 0)
    first = []
    for names in ({"openvino", "onnxruntime"}, {"onnxruntime"}, set[str]()):
        installed.clear()
        installed.update(names)
        first.append(possible_engines(EngineOptions())[0].engine)

    assert first == ["openvino", "onnxruntime", "torch"]


def test_a_gpu_goes_before_everything(installed: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed.update({"openvino", "onnxruntime"})
    cuda_devices(monkeypatch, 2)

    assert possible_engines(EngineOptions())[0] == Choice(engine="torch", device="cuda:0")
    assert possible_engines(EngineOptions())[-1] == Choice(engine="torch", device="cpu")
    assert possible_engines(EngineOptions(device="cuda")) == (
        Choice(engine="torch", device="cuda:0"),
    )
    assert possible_engines(EngineOptions(device="cuda:1"))[0].device == "cuda:1"
    assert possible_engines(EngineOptions(device="cpu"))[0].engine == "openvino"
    assert possible_engines(EngineOptions(backend="openvino"))[0].device == "cpu"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (EngineOptions(backend="openvino"), "pip install 'pulmonode\\[openvino\\]'"),
        (EngineOptions(backend="onnxruntime"), "pip install 'pulmonode\\[onnx\\]'"),
        (EngineOptions(device="cuda:1"), "cuda:1 was asked for, 1 are here"),
        (EngineOptions(backend="openvino", device="cuda"), "runs on the CPU"),
    ],
)
def test_what_is_asked_for_and_is_not_here_is_said(
    installed: set[str], monkeypatch: pytest.MonkeyPatch, options: EngineOptions, why: str
) -> None:
    assert not installed
    cuda_devices(monkeypatch, 1)

    with pytest.raises(EngineUnavailable, match=why):
        possible_engines(options)


class TwiceAsMuch:
    """An engine that computes something else."""

    device = "cpu"
    engine = "wrong 1.0"
    spare: Backend | None = None

    def __init__(self, network: nn.Module) -> None:
        self._right = TorchBackend(network)

    def run(self, images: Any) -> Any:
        return self.run_all(images)[0]

    def run_all(self, images: Any) -> Any:
        return tuple(2 * item for item in self._right.run_all(images))


def test_an_engine_that_answers_otherwise_is_never_used(
    installed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.add("openvino")
    cuda_devices(monkeypatch, 0)
    monkeypatch.setattr(engines, "_converted", lambda network, *_: TwiceAsMuch(network))
    network = CentreDetector(SMALL)

    with pytest.raises(EngineUnavailable, match="differ from torch's"):
        make_backend(network, (1, 1, 32, 32, 32), EngineOptions(backend="openvino"))
    assert make_backend(network, (1, 1, 32, 32, 32)).engine.startswith("torch")


def test_a_network_that_an_engine_cannot_take_goes_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_engine("openvino")
    cuda_devices(monkeypatch, 0)

    class OfValues(nn.Module):
        """Its loop depends on values, so that tracing sees one case of it only."""

        def forward(self, image: Tensor) -> Tensor:
            return image * (1.0 if float(image.sum()) == 0 else 3.0)

    backend = make_backend(OfValues(), (1, 1, 8, 8, 8))

    assert backend.engine.startswith("torch")


class LittleMemory(TorchBackend):
    """A device that takes so many voxels at once and no more."""

    device = "cuda:0"

    def __init__(self, network: nn.Module, voxels: int) -> None:
        super().__init__(network)
        self.device = "cpu"
        self.voxels = voxels
        self.sizes: list[int] = []
        real = self._network

        class Full(nn.Module):
            def forward(_self, image: Tensor) -> Any:  # noqa: N805
                self.sizes.append(image.numel())
                if image.numel() > voxels:
                    raise torch.OutOfMemoryError("CUDA out of memory (as a test has it)")
                return real(image)

        self._network = Full()


def test_torch_says_what_did_not_fit() -> None:
    with pytest.raises(
        OutOfMemory, match=r"cpu does not suffice for images of shape \(1, 1, 32"
    ) as told:
        LittleMemory(CentreDetector(SMALL), 1000).run(noise(1, 1, 32, 32, 32))

    assert told.value.transient


def test_slabs_become_thinner_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    model = CentreDetector(SMALL)
    hu = np.random.default_rng(0).normal(-700, 300, (512, 32, 32))
    image = to_window(hu, SMALL)
    monkeypatch.setattr(centre_detection, "HALO", 64)
    whole = TorchBackend(model).run(image[None, None])[0]
    small = LittleMemory(model, 32 * 32 * 300)

    parts = centre_detection._run_slabs(small, image)

    assert small.sizes[0] == 512 * 32 * 32
    assert max(small.sizes[1:]) <= 300 * 32 * 32
    assert np.abs(parts - whole).max() < 1e-3


def test_where_no_slab_fits_the_cpu_takes_over_for_that_volume(phantom: Phantom) -> None:
    torch.manual_seed(1)
    model = CentreDetector(SMALL)
    full = LittleMemory(model, 1000)
    full.device = "cuda:0"
    full._spare = TorchBackend(model)
    full.run_all = lambda images: LittleMemory(model, 1000).run_all(images)  # type: ignore[method-assign]
    lungs = segment_lungs(phantom.volume)

    def detector(backend: Backend) -> CentreHeatmapDetector:
        return CentreHeatmapDetector(backend, SMALL, version="t", weights={}, flips=False)

    spared = detector(full)
    assert spared.device == "cuda:0"
    found = spared.find_candidates(phantom.volume, lungs)

    assert found == detector(TorchBackend(model)).find_candidates(phantom.volume, lungs)
    assert spared.device == "cpu"


def test_a_batch_is_cut_into_portions_that_fit() -> None:
    torch.manual_seed(4)
    network = ThreeHeads()
    images = noise(7, 1, 8, 8, 8)
    small = LittleMemory(network, 2 * 8**3)

    found = run_in_portions(small, images, at_once=7)

    for right, answer in zip(TorchBackend(network).run_all(images), found, strict=True):
        assert np.abs(answer - right).max() < 1e-6
    assert [size // 8**3 for size in small.sizes] == [7, 4, 2, 2, 2, 1]


def test_one_image_that_never_fits_is_an_error_without_a_spare() -> None:
    with pytest.raises(OutOfMemory):
        run_in_portions(LittleMemory(ThreeHeads(), 10), noise(2, 1, 8, 8, 8), at_once=2)
