"""Where the real CT and the real peers are, and what happens when one is missing."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.once import once

if TYPE_CHECKING:
    from workers.case import CaseResult

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


THREADS = int(os.environ.get("OMP_NUM_THREADS") or 0)


@pytest.fixture(autouse=True)
def _threads_of_one_test_end_with_it() -> None:
    """An analysis sets torch's threads for its whole process; here other tests follow in it."""
    torch = sys.modules.get("torch")
    if THREADS and torch is not None:
        torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def analysed_ct(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CaseResult]:
    """What the analysis of a real CT series gives, by the series' name."""
    from tests.real_ct import analyse_real_ct

    @functools.cache
    def analysed(name: str) -> CaseResult:
        need_ct(name)
        return once(tmp_path_factory, name, lambda _: analyse_real_ct(name))

    return analysed


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the developer's shell must not reach the tests."""
    for name in os.environ:
        if name.startswith("PULMONODE_") and name != "PULMONODE_SHARED":
            monkeypatch.delenv(name)
    # Services of several tests run at once; whoever tests figures says where they are served.
    monkeypatch.setenv("PULMONODE_METRICS_ENABLED", "false")
