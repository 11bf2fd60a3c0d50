"""Where the real CT and the real peers are, and what happens when one is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("PULMONODE_SHARED", REPOSITORY.parent / "shared"))
IN_CI = os.environ.get("CI", "").lower() == "true"

# Programs of the virtual environment (dicom3tools) and of Debian's sbin (Orthanc).
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
)


def missing(what: str) -> None:
    """Fail where everything must be there (CI), skip elsewhere."""
    if IN_CI:
        pytest.fail(f"{what} is missing and CI=true")
    pytest.skip(f"{what} is missing")


def need_program(name: str) -> str:
    """Path of a program that a test needs."""
    found = shutil.which(name)
    if found is None:
        missing(name)
    return str(found)


def need_ct(name: str) -> Path:
    """Folder of a real CT series (``lidc_idri_0001`` ...)."""
    folder = SHARED / "ct" / name
    if not folder.is_dir():
        missing(f"real CT {name}")
    return folder


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the developer's shell must not reach the tests."""
    for name in os.environ:
        if name.startswith("PULMONODE_") and name != "PULMONODE_SHARED":
            monkeypatch.delenv(name)
    # Services of several tests run at once; whoever tests figures says where they are served.
    monkeypatch.setenv("PULMONODE_METRICS_ENABLED", "false")
