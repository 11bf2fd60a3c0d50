"""The product reads no format that can hold code, and hands no shell a line to run.

Ruff's rules S finds most of it at each `make check` (S102, S301, S302, S307, S506, S602 to S605).
This adds what they do not know: PyTorch, NumPy, `yaml.unsafe_load`, and imports that nobody calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from workers.celery_app import make_celery

PACKAGES = ("dicom_node", "inference", "workers")
CODE_INSIDE = frozenset(
    {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
)
FOR_ITS_ERROR = {"workers/monai_bundle.py: import pickle"}
"""torch.load with weights_only raises its UnpicklingError."""
RUNS_TEXT = frozenset({"eval", "exec", "os.system", "os.popen", "subprocess.getoutput"})
UNSAFE_YAML = frozenset(
    {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all"}
)


def dotted(node: ast.expr) -> str:
    """`yaml.load` of the expression that is called."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines of what must not be there, with what it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            yield from unsafe_call(node)
            continue
        else:
            continue
        for name in names:
            if name.split(".")[0] in CODE_INSIDE:
                yield node.lineno, f"import {name}"


def unsafe_call(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = dotted(node.func)
    given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
    if name in RUNS_TEXT | UNSAFE_YAML or name.split(".")[0] in CODE_INSIDE:
        yield node.lineno, name
    if name == "torch.load" and given.get("weights_only") is not True:
        yield node.lineno, "torch.load without weights_only=True"
    if name in {"np.load", "numpy.load"} and given.get("allow_pickle", False) is not False:
        yield node.lineno, "np.load with allow_pickle"
    if given.get("shell", False) is not False:
        yield node.lineno, f"{name} with shell"


def test_nothing_that_could_run_code_is_read_or_called() -> None:
    files = [path for name in PACKAGES for path in sorted((REPOSITORY / name).rglob("*.py"))]
    found = {
        f"{path.relative_to(REPOSITORY)}: {what}": line
        for path in files
        for line, what in unsafe(ast.parse(path.read_text()))
    }

    assert len(files) > 300
    assert set(found) == FOR_ITS_ERROR, found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "eval(text)", "os.system(line)",
        "torch.load(path)", "torch.load(path, weights_only=False)", "yaml.unsafe_load(text)",
        "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=flag)",
        "subprocess.run(line, shell=True)",
    ],
)  # fmt: skip
def test_each_of_them_is_found(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "yaml.safe_load(text)",
        "json.load(f)",
    ],
)
def test_what_is_safe_is_let_through(line: str) -> None:
    assert not list(unsafe(ast.parse(line)))


def test_workers_take_json_from_the_broker_and_nothing_else() -> None:
    app = make_celery("redis://127.0.0.1:1/0")

    assert app.conf.accept_content == ["json"]
    assert app.conf.result_accept_content in (None, ["json"])
    assert {app.conf.task_serializer, app.conf.result_serializer, app.conf.event_serializer} == {
        "json"
    }


def test_ruff_looks_for_the_rest() -> None:
    settings = (Path(REPOSITORY) / "pyproject.toml").read_text()

    selected = next(line for line in settings.splitlines() if line.startswith("select = "))
    assert '"S"' in selected
    ignored = settings.split("[tool.ruff.lint]")[1].split("]")[1]
    assert all(f'"S{rule}' not in ignored for rule in ("1", "3", "5", "602", "604", "605"))
