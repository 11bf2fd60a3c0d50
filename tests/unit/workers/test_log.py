"""What reaches the log: our keys, and of others' words nothing that they were given."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from workers.log import ALLOWED

PATIENT = "Planted^Patient"
SCRIPT = """
import json, logging, sys, threading, warnings
import structlog
from pydicom.errors import BytesLengthException
from workers.errors import NoSuchJob
from workers.log import configure_logging, guard_service
configure_logging("json", "info")
guard_service()
log = structlog.get_logger()
name = "Planted^Patient"
"""
BODIES = {
    "an error of others": """
try:
    raise ValueError(f"bad value {name}")
except ValueError:
    log.exception("failed", job_id=7)
""",
    "an error of ours": """
try:
    try:
        raise KeyError(name)
    except KeyError as error:
        raise NoSuchJob("17") from error
except NoSuchJob:
    log.exception("failed")
""",
    "a library's template": """
logging.getLogger("celery.worker").error("task %s failed", name)
""",
    "a library's sentence": """
logging.getLogger("some.library").warning(f"bad {name}")
""",
    "a library's error": """
try:
    raise BytesLengthException(name)
except BytesLengthException as error:
    logging.getLogger("pydicom").exception(error)
""",
    "a warning": """
warnings.warn(f"Invalid value {name}", UserWarning)
""",
    "a thread's crash": """
thread = threading.Thread(target=dict().__getitem__, args=(name,))
thread.start()
thread.join()
""",
    "a crash": """
raise RuntimeError(name)
""",
}


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, object]]:
    """The one line that each body writes to standard error, in one process."""
    script = SCRIPT
    for title, body in BODIES.items():
        script += f"print(json.dumps({{'body': {title!r}}}), file=sys.stderr)\n{body}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert PATIENT not in done.stderr + done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    found: dict[str, dict[str, object]] = {}
    for mark, line in zip(lines[::2], lines[1::2], strict=True):
        found[mark["body"]] = line
    assert set(found) == set(BODIES)
    return found


def test_an_error_of_others_is_told_by_type_and_place_alone(
    written: dict[str, dict[str, object]],
) -> None:
    line = written["an error of others"]

    assert (line["event"], line["job_id"]) == ("failed", 7)
    assert re.fullmatch(r"ValueError at <string>:\d+ <module>", str(line["exception"]))


def test_an_error_of_ours_keeps_its_words_and_the_cause_behind_it_its_type(
    written: dict[str, dict[str, object]],
) -> None:
    line = written["an error of ours"]

    assert str(line["exception"]).startswith("NoSuchJob: no job 17:")
    assert "; because of KeyError at" in str(line["exception"])


@pytest.mark.parametrize(
    ("title", "what"),
    [("a library's template", "task %s failed"), ("a library's sentence", None)],
)
def test_a_library_is_heard_without_the_values_in_its_words(
    written: dict[str, dict[str, object]], title: str, what: str | None
) -> None:
    line = written[title]

    assert line["event"] == "library_message"
    assert line.get("what") == what
    assert line["where"]


def test_a_library_s_exception_is_told_by_type_and_place(
    written: dict[str, dict[str, object]],
) -> None:
    assert str(written["a library's error"]["exception"]).startswith("BytesLengthException at ")


def test_a_warning_is_told_by_kind_and_place(written: dict[str, dict[str, object]]) -> None:
    line = written["a warning"]

    assert (line["event"], line["category"]) == ("library_warning", "UserWarning")


@pytest.mark.parametrize(
    ("title", "event", "error"),
    [
        ("a thread's crash", "thread_crashed", "KeyError at "),
        ("a crash", "process_crashed", "RuntimeError at "),
    ],
)
def test_a_crash_of_a_service_is_a_line_like_any_other(
    written: dict[str, dict[str, object]], title: str, event: str, error: str
) -> None:
    line = written[title]

    assert line["event"] == event
    assert str(line["exception"]).startswith(error)


def test_every_process_logs_its_crash_so() -> None:
    tree = ast.parse((REPOSITORY / "workers/roles.py").read_text())
    roles = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    roles = [role for role in roles if role.name.startswith("run_")]

    assert len(roles) == 4
    for role in roles:
        assert "guard_service()" in [ast.unparse(node) for node in role.body], role.name


def test_keys_and_events_are_documented() -> None:
    text = (REPOSITORY / "docs/logs.md").read_text()
    keys, events = text.split("## Events")
    pattern = re.compile(r"^\| `([a-z0-9_]+)` \|", re.MULTILINE)

    assert set(pattern.findall(keys)) == ALLOWED | {"dropped_keys"}
    assert set(pattern.findall(events)) == events_in_the_code() | LOOPS_DELAYED


LOOPS_DELAYED = {f"{loop}_delayed" for loop in ("index", "tick", "ask", "hint", "watch", "notify")}
"""Named by the thread that they come from (workers/node.py)."""
METHODS = ("debug", "info", "warning", "error", "exception")


def events_in_the_code() -> set[str]:
    """First arguments of every call of a structlog logger."""
    found: set[str] = set()
    for package in ("dicom_node", "workers"):
        for path in Path(REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                first, called = node.args[0], ast.unparse(node.func)
                logs = re.search(r"\blog\b|get_logger", called) and called.rstrip(")").endswith(
                    METHODS
                )
                if logs and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found
