from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = ("torch", "torch_geometric", "scipy", "skimage", "SimpleITK", "reportlab")


BLOCK = f"""
import importlib.util, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {BLOCKED!r} else real(name, *rest)
"""
NODE = """
import workers.node, workers.roles
from workers.cli.main import app
from typer.testing import CliRunner
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0, result.output
assert "doctor" in result.output and "analyse" not in result.output.split("Commands")[1]
print("ok")
"""
CONSOLE = """
import tempfile
from pathlib import Path
from workers.application import open_application
from workers.console.app import create_app
from workers.settings import Settings
folder = tempfile.mkdtemp()
app = open_application(Settings(data_dir=Path(folder)), migrate=True)
assert create_app(app).routes
print("ok")
"""


@pytest.mark.parametrize("program", [NODE, CONSOLE], ids=["node", "console"])
def test_a_process_starts_where_image_processing_is_not_installed(program: str) -> None:
    """Every import of image processing is made to fail, as if it were not installed."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + program], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "ok", done.stderr
