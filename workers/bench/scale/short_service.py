"""``python -m workers.bench.scale.short_service N``: `pulmonode up` with `short_worker` in it.

N analyses at the same time. Everything else is what `pulmonode up` runs.
"""

from __future__ import annotations

import sys

from workers.log import configure_logging
from workers.settings import Settings
from workers.up import run_all

MODULE = "workers.bench.scale.short_service"
WORKER = "workers.bench.scale.short_worker"


def main() -> None:
    """Run it until SIGTERM."""
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    run_all(settings, analysers=int(sys.argv[1]), analysing=WORKER)


if __name__ == "__main__":
    main()
