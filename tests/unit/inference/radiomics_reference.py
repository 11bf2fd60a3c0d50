"""Published reference values for radiomics, and the images they belong to."""

from __future__ import annotations

import ast
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from tests.conftest import SHARED, missing

REFERENCE = SHARED / "reference"
Case = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]
"""Image and mask of shape (D, H, W), and spacing in mm along k, j, i."""


def reference(folder: str) -> Path:
    path = REFERENCE / folder
    if not path.is_dir():
        missing(f"the reference {folder}")
    return path


def pyradiomics_case(name: str) -> Case:
    folder = reference("pyradiomics_baseline") / "data"
    return _read(folder / f"{name}_image.nrrd", folder / f"{name}_label.nrrd")


def ibsi_phantom() -> Case:
    folder = reference("ibsi_digital_phantom") / "nifti"
    return _read(folder / "image" / "phantom.nii.gz", folder / "mask" / "mask.nii.gz")


def _read(image_path: Path, mask_path: Path) -> Case:
    image, mask = SimpleITK.ReadImage(str(image_path)), SimpleITK.ReadImage(str(mask_path))
    return (
        SimpleITK.GetArrayFromImage(image).astype(np.float64),
        SimpleITK.GetArrayFromImage(mask) == 1,
        np.array(image.GetSpacing()[::-1]),
    )


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One column of one of PyRadiomics' baseline files."""

    values: dict[str, float]
    """By our names."""
    settings: dict[str, Any]


def baseline(group: str, column: str) -> Baseline:
    path = reference("pyradiomics_baseline") / "data" / "baseline" / f"baseline_{group}.csv"
    values, settings = {}, {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            name = row["featureName"]
            if name == "diagnostics_Configuration_Settings":
                settings = ast.literal_eval(row[column])
            elif name.startswith("original_"):
                values[plain(name.removeprefix("original_"))] = float(row[column])
    return Baseline(values=values, settings=settings)


def plain(name: str) -> str:
    """A name without capitals and underscores, after that of its class."""
    group, feature = name.split("_", 1)
    return f"{group}_{feature.replace('_', '')}".lower()
