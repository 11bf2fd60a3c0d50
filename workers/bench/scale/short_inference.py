"""What stands for detector and segmenter where a benchmark is not about them: one ball.

No answer of these is of any use: they put a ball at the deepest point of the lungs, whatever is
there. Reading, lungs, measurements, lobes, rules and objects stay as they are. Reports say it in
the algorithm's name and among its limits. Nothing but `short_worker` uses this.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from inference.findings import Candidate, VoiMask
from inference.lungs import LungMask
from inference.segmentation import Combination, Segmented
from inference.volume import Volume
from workers.detector_choice import Methods

DIAMETER_MM = 12.0
NOT_A_RESULT = "made while measuring: nothing was looked for, and what is listed is not there"


class DeepestPoint:
    """A detector that names the point of the lungs that is farthest from their border."""

    name = "deepest point of the lungs (measuring only)"
    version = "1"
    weights: Mapping[str, str] = MappingProxyType({})
    kind = "measuring-only"
    needs_ranking = False
    device = "cpu"
    engine: str | None = None
    report_from = 0.5
    limits = (NOT_A_RESULT,)

    def find_candidates(self, volume: Volume, lungs: LungMask) -> tuple[Candidate, ...]:
        """One candidate, always."""
        del volume
        grid = Volume(hu=np.zeros(lungs.lungs.shape, dtype=np.int16), affine=lungs.affine)
        depth = ndimage.distance_transform_edt(lungs.lungs > 0, sampling=grid.spacing_mm)
        x, y, z = grid.index_to_lps(np.unravel_index(int(depth.argmax()), depth.shape))
        return (
            Candidate(
                centre_lps_mm=(float(x), float(y), float(z)),
                probability=0.9,
                diameter_mm=DIAMETER_MM,
            ),
        )


class Ball:
    """A segmenter that outlines every candidate as a ball of its diameter."""

    name = "ball (measuring only)"
    kind = "measuring-only"
    weights: Mapping[str, str] = MappingProxyType({})
    combination: Combination | None = None

    def segment(self, volume: Volume, lungs: LungMask, candidate: Candidate) -> Segmented | None:
        """The voxels within half the diameter; `None` where no voxel's centre is."""
        del lungs
        centre = volume.lps_to_index(candidate.centre_lps_mm)
        radius = candidate.diameter_mm / 2
        start = np.maximum(np.ceil(centre - radius / volume.spacing_mm), 0).astype(int)
        stop = np.floor(centre + radius / volume.spacing_mm).astype(int) + 1
        stop = np.minimum(stop, volume.shape)
        if (stop <= start).any():
            return None
        away_mm = (
            (np.arange(low, high) - at) * spacing
            for low, high, at, spacing in zip(start, stop, centre, volume.spacing_mm, strict=True)
        )
        k, j, i = np.meshgrid(*away_mm, indexing="ij", sparse=True)
        mask = k**2 + j**2 + i**2 <= radius**2
        if not mask.any():
            return None
        return Segmented(
            voi=VoiMask(origin_kji=(int(start[0]), int(start[1]), int(start[2])), mask=mask),
            exposed=1.0,
            roundness=1.0,
            elongation=1.0,
            compactness=1.0,
            type="solid",
        )


def short_methods() -> Methods:
    """Both; nothing is graded."""
    return Methods(detector=DeepestPoint(), segmenter=Ball())
