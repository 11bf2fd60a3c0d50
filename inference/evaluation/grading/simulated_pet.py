"""SIMULATED uptake beside real readings: to try software, never to claim.

LIDC-IDRI has no PET. What is drawn here is drawn from a latent "malignant" that is itself drawn
from readers' opinion, the same that `simulated_cohort` draws the patient's other values from.

Published
---------
- How far apart benign and malignant nodules lie: FDG-PET/CT of solitary pulmonary nodules,
  sensitivity 0.89 and specificity 0.70 pooled over 20 publications (Medicine 2018;97, PMC5895332).
- Partial volume: what a Gaussian resolution leaves of the middle of a ball (Kessler et al., J
  Comput Assist Tomogr 1984;8:514, equation for a sphere).

Assumptions, no source
----------------------
That these hold at SUVmax 2.5 for nodules of `STUDIED_MM`, for bell curves of equal width `LOG_SD`
on a logarithmic scale; the scanner's resolution, the lung's SUV, SUVpeak and the mean as shares of
SUVmax and how these spread, the metabolic volume as that of the nodule widened by the resolution,
and the share of patients with a PET; that of a patient's nodules the one rated higher is malignant
where another is. No ground glass of low uptake, no inflammation, no breathing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from scipy.stats import norm

from inference.beside_pixels import NAMES
from inference.evaluation.grading.simulated_cohort import random_of
from inference.grading.table import ModalityTable
from inference.known import PET

SENSITIVITY, SPECIFICITY, AT_SUV = 0.89, 0.70, 2.5
LOG_SD = 0.6
STUDIED_MM = 20.0
RESOLUTION_MM = 6.0
"""Full width at half maximum."""
LUNG_SUV = 0.5
PEAK_SHARE, PEAK_LOG_SD = 0.8, 0.08
MEAN_SHARE, MEAN_LOG_SD = 0.62, 0.06
VOLUME_LOG_SD = 0.3
NO_PET = 0.5
DIAMETER = ("ct_measures", "log_mean_diameter_mm")
DRAW = 29
"""Keeps these numbers apart from those of the patient's other values."""


def add_simulated_pet(table: ModalityTable, *, seed: int) -> ModalityTable:
    """A table with the modality ``pet``, SIMULATED; rows of one nodule are equal.

    Parameters
    ----------
    table : ModalityTable
        With known ratings and the column `DIAMETER`: a nodule's mean over its rows decides.
    seed : int
        As `add_simulated_cohort` was given: its patients are malignant where a nodule of theirs is.
    """
    modality, column = DIAMETER
    sizes = np.exp(table.features[modality][:, table.names[modality].index(column)])
    nodules, place = np.unique(table.nodules, return_inverse=True)
    drawn = np.full((len(nodules), len(NAMES[PET])), np.nan)
    for number, nodule in enumerate(nodules):
        rows = place == number
        patient = str(table.patients[rows][0])
        chance = (float(table.rating[rows].mean()) - 1) / 4
        malignant = float(random_of(patient, seed).random()) < chance
        if np.random.default_rng([seed, DRAW, *patient.encode()]).random() >= NO_PET:
            random = np.random.default_rng([seed, DRAW, *str(nodule).encode()])
            drawn[number] = _draw(random, malignant, float(sizes[rows].mean()))
    return replace(
        table,
        features={**table.features, PET: drawn[place].astype(np.float32)},
        names={**table.names, PET: NAMES[PET]},
    )


def recovered(diameter_mm: float) -> float:
    """Share of a ball's contrast that is left in its middle, 0 to 1."""
    sigma = RESOLUTION_MM / np.sqrt(8 * np.log(2))
    reach = diameter_mm / 2 / (np.sqrt(2) * sigma)
    return float(erf(reach) - 2 / np.sqrt(np.pi) * reach * np.exp(-(reach**2)))


def _draw(random: np.random.Generator, malignant: bool, diameter_mm: float) -> NDArray[np.float64]:
    """Logarithms of SUVmax, SUVpeak, MTV in ml and TLG in g, shape (4,)."""
    apart = norm.ppf(SENSITIVITY) if malignant else -norm.ppf(SPECIFICITY)
    studied = np.exp(random.normal(np.log(AT_SUV) + LOG_SD * apart, LOG_SD))
    left = recovered(diameter_mm) / recovered(STUDIED_MM)
    highest = max(LUNG_SUV + (studied - LUNG_SUV) * left, LUNG_SUV)
    peak = highest * PEAK_SHARE * np.exp(random.normal(0, PEAK_LOG_SD))
    mean = highest * MEAN_SHARE * np.exp(random.normal(0, MEAN_LOG_SD))
    seen_mm = np.hypot(diameter_mm, RESOLUTION_MM)
    volume_ml = np.pi / 6 * (seen_mm / 10) ** 3 * np.exp(random.normal(0, VOLUME_LOG_SD))
    return np.log([highest, peak, volume_ml, volume_ml * mean])
