"""Logging: one structured line per unit of work, and no patient data in any of them.

Only the keys in `ALLOWED` reach the output, so a name or an identifier that slips into a
call is dropped rather than written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

ALLOWED = frozenset(
    {
        "address", "alarm", "attempts", "broker", "calling_ae", "committed", "delivery_id",
        "destination", "duration_s", "error", "event", "exception", "how", "instances", "job_id",
        "level", "method", "moved", "outcome", "peer", "port", "process", "queued", "reason",
        "reason_code", "refused", "route", "size_bytes", "state", "status", "stored", "subject",
        "timestamp", "version",
    }
)  # fmt: skip


def keep_allowed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Drop every key that is not on the list; say how many were dropped."""
    kept = {key: value for key, value in event.items() if key in ALLOWED}
    if len(kept) != len(event):
        kept["dropped_keys"] = len(event) - len(kept)
    return kept


def configure_logging(
    log_format: Literal["json", "console"], level: Literal["debug", "info", "warning", "error"]
) -> None:
    """Send structlog's lines to standard error."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            keep_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # pynetdicom and pydicom log data sets and names: nothing below an error of theirs is kept.
    for name in ("pynetdicom", "pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
