"""Which patients are tested when: never the same patient in training and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


def patient_folds(
    patients: NDArray[np.str_], grades: NDArray[np.int64], *, seed: int, folds: int = FOLDS
) -> dict[str, int]:
    """Deal patients into folds with grades shared out as evenly as whole patients allow.

    Parameters
    ----------
    patients, grades : ndarray of shape (N,)
        One row per nodule (D1), also where readings (D2) are to be dealt: so that both protocols
        test the same patients together, as the published baselines do.
    seed : int
        Another seed, another deal.

    Returns
    -------
    dict of patient to fold, 0 to folds - 1
    """
    # Here: scikit-learn belongs to the extra that trains, and nothing else needs this module's.
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    dealt: dict[str, int] = {}
    empty = np.zeros((len(patients), 1))
    for fold, (_, tested) in enumerate(dealer.split(empty, grades, patients)):
        dealt |= dict.fromkeys((str(name) for name in patients[tested]), fold)
    return dealt


def fold_of_rows(patients: NDArray[np.str_], dealt: dict[str, int]) -> NDArray[np.int64]:
    """The fold of each row, shape (N,).

    Raises
    ------
    KeyError
        If a patient was not dealt.
    """
    return np.array([dealt[str(name)] for name in patients], dtype=np.int64)
