"""SIMULATED clinical and serological data beside real readings: to try software, never to claim.

LIDC-IDRI has neither age nor smoking nor blood tests. What is drawn here is drawn from a latent
"malignant" that is itself drawn from readers' opinion, so whatever a model gains by it was put in
by hand. It shows that many modalities, masks and gaps work. No figure of accuracy and no comparison
of models may rest on it, and of shipped weights one set only, which is used where a site names such
a modality itself and is said to be simulated in every report (`docs/models/multimodal.md`).

Published effect sizes
----------------------
- Age, sex, family history, emphysema: Brock model 2b (McWilliams et al., N Engl J Med
  2013;369:910). Smoking, earlier cancer: Mayo model (Swensen et al., Arch Intern Med
  1997;157:849). Their coefficients hold beside other variables; here each is used on its own.
- CEA, CYFRA 21-1, NSE: ROC areas of 439 lung cancers against 51 benign lung diseases, 0.78, 0.81,
  0.88 (doi 10.3233/TUB-230021). SCC, ProGRP: 113 lung cancers against 110 benign lung diseases,
  0.758 and 0.829 (Li and Sang, Clin Lab, "Diagnostic value ... of CYFRA21-1, SCC Ag, NSE, CEA and
  ProGRP in non-small cell lung carcinoma"). Hospital patients of all stages: for small nodules
  markers do much less.

Pack-years are left out: neither model has a coefficient for them.

Assumptions, no source
----------------------
How often something occurs without cancer (`WITHOUT_CANCER`), that the chance of "malignant" rises
evenly with the patient's highest mean rating, the width of a marker's distribution and that its
cut-off is the 90th percentile without cancer, independence of everything, shares of gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from inference.evaluation.grading.markers import CUT_OFFS, SEROLOGY
from inference.grading.table import ModalityTable

LOG_ODDS = {
    "female": 0.6011,
    "family_history": 0.2961,
    "emphysema": 0.2953,
    "ever_smoker": 0.7917,
    "prior_cancer": 1.3388,
}
WITHOUT_CANCER = {
    "female": 0.5,
    "family_history": 0.2,
    "emphysema": 0.3,
    "ever_smoker": 0.6,
    "prior_cancer": 0.05,
}
"""Shares: assumed."""
AGE_LOG_ODDS_PER_YEAR, AGE_MEAN, AGE_SD = 0.0287, 62.0, 10.0
"""Brock's slope and reference age; the spread is assumed."""
AREAS = {"cea": 0.78, "cyfra_21_1": 0.81, "nse": 0.88, "scc": 0.758, "progrp": 0.829}
BELOW_CUT_OFF = 0.9
LOG_SD = 0.6
NO_CLINICAL, NO_SEROLOGY, NO_MARKER = 0.1, 0.4, 0.1
"""Shares of patients without a modality, and of single markers not measured: assumed."""
CLINICAL = ("age", *LOG_ODDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPatient:
    """What was drawn for one patient; NaN was not recorded.

    Attributes
    ----------
    clinical : ndarray of shape (6,)
        `CLINICAL`: age in years, the others 0 or 1.
    serology : ndarray of shape (5,)
        `SEROLOGY`: natural logarithms of the concentrations.
    """

    clinical: NDArray[np.float64]
    serology: NDArray[np.float64]


def add_simulated_cohort(table: ModalityTable, *, seed: int) -> ModalityTable:
    """A table with the modalities ``clinical`` and ``serology``, SIMULATED.

    Parameters
    ----------
    table : ModalityTable
        With known ratings: a patient's highest decides what is drawn.
    seed : int
        Same seed and patients, same draw, whatever rows the table has.
    """
    whose, place = np.unique(table.patients, return_inverse=True)
    drawn = []
    for number, patient in enumerate(whose):
        highest = float(table.rating[place == number].max())
        drawn.append(_draw(random_of(str(patient), seed), (highest - 1) / 4))
    clinical = np.array([one.clinical for one in drawn], dtype=np.float32)[place]
    serology = np.array([one.serology for one in drawn], dtype=np.float32)[place]
    return replace(
        table,
        features={**table.features, "clinical": clinical, "serology": serology},
        names={**table.names, "clinical": CLINICAL, "serology": SEROLOGY},
    )


def random_of(patient: str, seed: int) -> np.random.Generator:
    """A patient's own numbers; the first, under the chance of "malignant", decides that."""
    return np.random.default_rng([seed, *patient.encode()])


def _draw(random: np.random.Generator, chance: float) -> SimulatedPatient:
    malignant = float(random.random() < chance)
    # A log-odds of b per year between two bell curves of equal spread puts them b sd^2 apart.
    age = random.normal(AGE_MEAN + malignant * AGE_LOG_ODDS_PER_YEAR * AGE_SD**2, AGE_SD)
    clinical = [float(np.clip(age, 18, 100))]
    for name, log_odds in LOG_ODDS.items():
        share = WITHOUT_CANCER[name]
        odds = share / (1 - share) * np.exp(malignant * log_odds)
        clinical.append(float(random.random() < odds / (1 + odds)))
    serology = []
    for marker, area in AREAS.items():
        # Two bell curves d spreads apart have a ROC area of Phi(d / sqrt 2).
        apart = float(np.sqrt(2) * norm.ppf(area))
        usual = np.log(CUT_OFFS[marker]) - LOG_SD * norm.ppf(BELOW_CUT_OFF)
        value = random.normal(usual + malignant * apart * LOG_SD, LOG_SD)
        serology.append(value if random.random() >= NO_MARKER else np.nan)
    if random.random() < NO_CLINICAL:
        clinical = [float("nan")] * len(clinical)
    if random.random() < NO_SEROLOGY:
        serology = [float("nan")] * len(serology)
    return SimulatedPatient(clinical=np.array(clinical), serology=np.array(serology))
