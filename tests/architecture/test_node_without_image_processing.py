from __future__ import annotations

import subprocess
import sys

BLOCKED = ("torch", "torch_geometric", "scipy", "skimage", "SimpleITK", "reportlab")


def test_the_node_starts_where_only_the_node_extra_is_installed() -> None:
    """Every import of image processing is made to fail, as if it were not installed."""
    program = f"""
import importlib.util, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {BLOCKED!r} else real(name, *rest)
import workers.node, workers.roles
from workers.cli.main import app
from typer.testing import CliRunner
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0, result.output
assert "doctor" in result.output and "analyse" not in result.output.split("Commands")[1]
print("ok")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "ok", done.stderr
