"""CT folders -> backgrounds of the cube network, with the mistakes of a detector in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from inference.backend import TorchBackend
from inference.models.centre_detector import CentreDetector, CentreDetectorConfig
from inference.training.voi_backgrounds import (
    VoiBackground,
    mine_candidates,
    to_voi_background,
)
from inference.weights import Weights
from workers.training_data import LesionEntry, prepare_backgrounds, read_scan


def prepare_voi_backgrounds(
    data: Path,
    names: Sequence[str],
    lesions: Mapping[str, Sequence[LesionEntry]],
    *,
    simulated: Iterable[int],
    cache: Path,
    detector: Weights | None,
    told: Callable[[str], None],
) -> list[VoiBackground]:
    """Real and simulated backgrounds in their own resolution, mined for a detector's mistakes.

    Parameters
    ----------
    data, names, lesions, simulated, cache, told
        See `workers.training_data.prepare_backgrounds`.
    detector : Weights, optional
        Whose mistakes are collected; none without it.
    """
    spacing_mm = CentreDetectorConfig().spacing_mm
    if detector is not None:
        spacing_mm = CentreDetectorConfig.from_dict(detector.config).spacing_mm
    coarse = prepare_backgrounds(
        data, names, lesions, spacing_mm=spacing_mm, simulated=simulated, cache=cache, told=told
    )
    found = []
    for name, background in zip(names, coarse, strict=False):
        volume = read_scan(data, name, lesions.get(name, ())).volume
        found.append(to_voi_background(background, volume))
    found += [to_voi_background(item, item.volume) for item in coarse[len(names) :]]
    if detector is None:
        return found
    config = CentreDetectorConfig.from_dict(detector.config)
    network = CentreDetector(config)
    network.load_state_dict(detector.tensors)
    backend = TorchBackend(network)
    mined = []
    for item in found:
        mined.append(mine_candidates(item, backend, config))
        told(f"{item.coarse.name}: {len(mined[-1].mistakes)} mistakes of the detector")
    return mined
