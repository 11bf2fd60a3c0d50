"""Detector, segmenter and grader that the settings choose: ours, or a site's own.

`install` puts others in their place, for a benchmark that shortens this stage. Deliberately
absent: any setting, file or environment variable that would do so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from inference.detection import Detector
from inference.detectors import make_detector
from inference.engine_options import EngineOptions
from inference.errors import WeightsRefused
from inference.pipeline import Grading
from inference.segmentation import Segmenter
from inference.segmenters import make_segmenter
from workers.compute import engine_options
from workers.settings import Settings

if TYPE_CHECKING:
    from inference.graders import LoadedJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """What finds, outlines and grades nodules."""

    detector: Detector
    segmenter: Segmenter
    grading: Grading | None = None


_instead: Methods | None = None


def install(methods: Methods | None) -> None:
    """Use these in this process, whatever the settings say; `None` goes by the settings again."""
    global _instead
    _instead = methods


def segmenter_of(settings: Settings) -> Segmenter:
    """A segmenter that is ready to work, read once per process; raises as `detector_of`."""
    if _instead is not None:
        return _instead.segmenter
    return make_segmenter(settings.segmenter, engine_options(settings), settings.weights_dir)


def grading_of(settings: Settings) -> Grading | None:
    """What grades nodules, or nothing; raises as `detector_of`.

    Read once per process and version of the site's bank: which one counts is looked up by every
    call, so that a change holds from the next job on.

    Raises
    ------
    inference.errors.BankRefused
        If the typical-case bank cannot be used.
    """
    if _instead is not None:
        return _instead.grading
    if settings.grader == "none":
        return None
    # Here, not above: the graph's library takes seconds to load.
    from inference.graders import make_grading

    bank, sha256 = _own_bank(settings)
    return make_grading(
        engine_options(settings), settings.weights_dir, bank, sha256, by=settings.grade_by
    )


def judge_of(settings: Settings) -> LoadedJudge:
    """The trained grader beside the bank that counts, for rows that are described already.

    Raises as `grading_of`; and where the site lets grades rest on what such rows do not hold.
    """
    from inference.graders import load_judge

    if settings.grade_by_simulated:
        raise WeightsRefused(
            "grader",
            f"rows of nodules hold no {', '.join(settings.grade_by_simulated)}, which "
            "PULMONODE_GRADE_BY names: unset it, and the grader of the default is asked",
        )
    return load_judge(settings.weights_dir, *_own_bank(settings))


def _own_bank(settings: Settings) -> tuple[Path, str] | tuple[None, None]:
    """File and sha256 of the site's bank that counts now; `None` where it has none."""
    if settings.bank_dir is None:
        return None, None
    from workers.bank.current import find_current_bank

    found = find_current_bank(settings)
    return found.path, found.sha256


def detector_of(settings: Settings) -> Detector:
    """A detector that is ready to work, read once per process.

    Raises
    ------
    inference.errors.WeightsRefused
        If its weights are missing or are not those wanted.
    inference.errors.EngineUnavailable
        If what its network shall run on is not here.
    """
    if _instead is not None:
        return _instead.detector
    if settings.detector != "monai":
        return make_detector(settings.detector, engine_options(settings), settings.weights_dir)
    folder = settings.monai_bundle or Path()
    return _bundle(folder, settings.monai_threshold, engine_options(settings))


@lru_cache(maxsize=1)
def _bundle(folder: Path, threshold: float, options: EngineOptions) -> Detector:
    # Here, not above: torch takes seconds to load, and the classical method needs none of it.
    from workers.monai_bundle import load_bundle_detector

    return load_bundle_detector(folder, report_from=threshold, options=options)
