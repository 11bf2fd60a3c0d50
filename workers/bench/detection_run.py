"""One timed analysis in a process of its own: ``python -m workers.bench.detection_run ...``."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from workers.bench.chest import read_chest
from workers.bench.process import Clock, peak_rss_mb


def main(arguments: Sequence[str] | None = None) -> None:
    """Analyse the volume and print stages, memory and what was found, as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("volume", type=Path)
    parser.add_argument("--detector", choices=("trained", "classical"), required=True)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args(arguments)
    volume, truth = read_chest(asked.volume)
    clock = Clock()
    clock.start("start")
    # Here: loading the libraries is a part of what a fresh process takes.
    from inference.detectors import make_detector
    from inference.engine_options import EngineOptions
    from inference.pipeline import analyse
    from inference.segmenters import make_segmenter

    options = EngineOptions(backend=asked.backend, device=asked.device, threads=asked.threads)
    detector = make_detector(asked.detector, options)
    findings = analyse(
        volume,
        detector=detector,
        segmenter=make_segmenter(asked.detector, options),
        progress=clock.start,
    )
    clock.stop()
    centres = [nodule.centre_lps_mm for nodule in findings.nodules]
    listed = sum(
        any(math.dist(centre, place) < diameter_mm / 2 for centre in centres)
        for place, diameter_mm in truth
    )
    print(  # noqa: T201 - the parent reads it
        json.dumps(
            {
                "stages": clock.stages,
                "peak_rss_mb": peak_rss_mb(),
                "device": findings.device,
                "engine": findings.engine,
                "nodules_in_it": len(truth),
                "nodules_listed": listed,
                "others_listed": len(centres) - listed,
                "outlined": len(centres),
            }
        )
    )


if __name__ == "__main__":
    main()
