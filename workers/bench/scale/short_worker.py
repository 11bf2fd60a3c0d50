"""``python -m workers.bench.scale.short_worker``: `pulmonode worker` with `short_inference`.

The only place that installs it; `short_service` starts this and nothing else does.
"""

from __future__ import annotations

import argparse

from workers.bench.scale.short_inference import short_methods
from workers.detector_choice import install
from workers.log import configure_logging
from workers.roles import run_worker
from workers.settings import Settings


def main() -> None:
    """Run it until SIGTERM, with the arguments of `pulmonode worker`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["worker"])
    parser.add_argument("--queues", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    wanted = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    install(short_methods())  # before the fork: each analysing process has it
    run_worker(settings, tuple(wanted.queues.split(",")), wanted.concurrency)


if __name__ == "__main__":
    main()
