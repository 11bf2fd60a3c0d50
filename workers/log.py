"""Logging: one structured line per unit of work, and no patient data in any of them.

Only the keys in `ALLOWED` reach the output, so a name or an identifier that slips into a
call is dropped rather than written. What libraries log is reduced to where it was said and the
constant part of its words; an exception to its types and places, and to its words where the error
is one that we raise on purpose. docs/logs.md lists keys and events.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, MutableMapping
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog

from dicom_node.errors import DicomNodeError
from inference.errors import InferenceError
from workers.errors import WorkersError

ALLOWED = frozenset(
    {
        "address", "alarm", "attempts", "broker", "calling_ae", "category", "channel", "cleared",
        "committed", "delivery_id", "destination", "duration_s", "error", "event", "exception",
        "how", "instances", "job_id", "level", "library", "messages", "method", "moved", "outcome",
        "peer", "port", "process", "queued", "raised", "reason", "reason_code", "refused", "route",
        "size_bytes", "state", "status", "stored", "subject", "timestamp", "version", "what",
        "where",
    }
)  # fmt: skip
OURS = (DicomNodeError, InferenceError, WorkersError)
"""Errors whose words we write ourselves, without patients."""
FRAMES_SHOWN = 12
CHATTY = ("pynetdicom", "pydicom", "highdicom")
"""They say much of what peers and files get wrong; of that, errors alone are kept."""


def keep_allowed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Drop every key that is not on the list; say how many were dropped."""
    kept = {key: value for key, value in event.items() if key in ALLOWED}
    if len(kept) != len(event):
        kept["dropped_keys"] = len(event) - len(kept)
    return kept


def without_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put an exception's types and places in the place of `exc_info`.

    The words of others' errors repeat the value that was wrong, which may be a patient's name.
    """
    given = event.pop("exc_info", None)
    if given:
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
        if isinstance(given, tuple):
            error = given[1]
        if error is not None:
            event["exception"] = describe_exception(error)
    return event


def describe_exception(error: BaseException) -> str:
    """An exception and those behind it: type, our own words, innermost frames last."""
    return "; because of ".join(_describe_one(item) for item in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    item: BaseException | None = error
    while item is not None and id(item) not in seen:
        seen.add(id(item))
        yield item
        item = item.__cause__ or (None if item.__suppress_context__ else item.__context__)


def _describe_one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
    places = " > ".join(f"{_place(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)
    said = f": {error}" if isinstance(error, OURS) else ""
    return f"{type(error).__name__}{said}" + (f" at {places}" if places else "")


def _place(file: str) -> str:
    """Package and file of a path: enough to find it, whatever the machine."""
    return "/".join(PurePath(file).parts[-2:])


class LibraryHandler(logging.Handler):
    """Turns what libraries log into lines of ours, without the values in it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what cannot be written is let go, as logging's handlers do."""
        try:
            line: dict[str, Any] = {
                "library": record.name,
                "where": f"{_place(record.pathname)}:{record.lineno}",
            }
            # With arguments apart, the words are a constant of the library's; else anything.
            if isinstance(record.msg, str) and record.args:
                line["what"] = record.msg.split("\n")[0][:200]
            if record.exc_info and record.exc_info[1] is not None:
                line["exception"] = describe_exception(record.exc_info[1])
            severe = record.levelno >= logging.ERROR
            log = structlog.get_logger()
            (log.error if severe else log.warning)("library_message", **line)
        except Exception:  # noqa: BLE001 - a line that cannot be written must stop nothing
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: logging would print the record's values."""
        del record


def configure_logging(
    log_format: Literal["json", "console"], level: Literal["debug", "info", "warning", "error"]
) -> None:
    """Send structlog's lines, and what libraries log, to standard error."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_values,
            keep_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [LibraryHandler(level=logging.WARNING)]
    root.setLevel(logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.showwarning = _log_warning


def guard_service() -> None:
    """In a process that runs on its own: write what nobody caught as a line without values.

    Commands of people keep Python's traceback: it goes to the terminal of whoever typed them.
    """
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say where a library warned and of what kind; its words may repeat a value."""
    del message, file, line
    structlog.get_logger().warning(
        "library_warning", category=category.__name__, where=f"{_place(filename)}:{lineno}"
    )


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().error("process_crashed", exc_info=error.with_traceback(trace))


def _log_thread_crash(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        structlog.get_logger().error("thread_crashed", exc_info=arguments.exc_value)
