"""What the graph has to beat: each a `GradeModel` on all columns side by side.

scikit-learn and XGBoost are imported where a model learns: they come with the extra that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from inference.evaluation.grading.features import Scaling, drop_at_random, stack, to_matrix
from inference.grading.table import GRADE_LIMITS, GradeModel, ModalityTable

GRADES = 4
RESIDUALS_FROM = 4
"""One in so many patients is kept aside to see how far a regression errs."""
LEAST_SIGMA = 0.2
BATCH = 128
DIAMETER = {
    "roi2d": ("axial_mean_diam_mm", "log_axial_mean_diam_mm"),
}


class Linear:
    """Logistic regression over all grades at once, or Frank and Hall's one per limit.

    References
    ----------
    Frank and Hall, ECML 2001: a classifier for "above grade k" for each k; the difference of
    neighbours is the grade's probability.
    """

    def __init__(self, *, strength: float, ordinal: bool = False) -> None:
        self._strength = strength
        self._ordinal = ordinal

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn; the seed changes nothing."""
        matrix = to_matrix(table)
        self._scaling = Scaling.of(matrix)
        scaled, grades = self._scaling.apply(matrix), table.grades
        targets = [grades > k for k in range(GRADES - 1)] if self._ordinal else [grades]
        self._fitted = [self._new(seed).fit(scaled, target) for target in targets]

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        scaled = self._scaling.apply(to_matrix(table))
        if not self._ordinal:
            return _spread(self._fitted[0].predict_proba(scaled), self._fitted[0].classes_)
        above = np.column_stack([one.predict_proba(scaled)[:, 1] for one in self._fitted])
        return _between(1 - above)

    def _new(self, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self._strength, max_iter=2000, random_state=seed)


class Forest:
    """Random forest; what is unknown becomes the mean."""

    def __init__(self, *, leaf: int, columns: float, trees: int) -> None:
        self._settings = {
            "n_estimators": trees, "min_samples_leaf": leaf, "max_features": columns,
        }  # fmt: skip

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn."""
        from sklearn.ensemble import RandomForestClassifier

        matrix = to_matrix(table)
        self._scaling = Scaling.of(matrix)
        self._model = RandomForestClassifier(**self._settings, random_state=seed, n_jobs=1)
        self._model.fit(self._scaling.apply(matrix), table.grades)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        given = self._model.predict_proba(self._scaling.apply(to_matrix(table)))
        return _spread(given, self._model.classes_)


class Boosted:
    """XGBoost over grades; NaN goes where training found it best to go."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn."""
        from xgboost import XGBClassifier

        self._known, target = np.unique(table.grades, return_inverse=True)
        self._model = XGBClassifier(**self._settings, random_state=seed, n_jobs=1)
        self._model.fit(to_matrix(table), target)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        return _spread(self._model.predict_proba(to_matrix(table)), self._known)


class Regressed:
    """A regression on the mean rating itself; a Gaussian around it gives the grades.

    Parameters
    ----------
    ridge : float, optional
        Ridge regression of that strength on scaled columns; XGBoost if absent.
    settings :
        Of XGBoost.
    """

    def __init__(self, *, ridge: float | None = None, **settings: Any) -> None:
        self._ridge = ridge
        self._settings = settings

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn; the Gaussian's width comes from patients kept aside, then all rows train."""
        random = np.random.default_rng(seed)
        names = np.unique(table.patients)
        apart = random.permutation(names)[: max(1, len(names) // RESIDUALS_FROM)]
        aside = np.isin(table.patients, apart)
        self._scaling = Scaling.of(to_matrix(table))
        matrix = self._matrix(table)
        first = self._new(seed).fit(matrix[~aside], table.rating[~aside])
        residual = table.rating[aside] - first.predict(matrix[aside])
        self._sigma = max(LEAST_SIGMA, float(np.sqrt(np.mean(residual**2))))
        self._model = self._new(seed).fit(matrix, table.rating)
        self._limits = _between_ratings(table.rating)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        mean = self._model.predict(self._matrix(table)).astype(np.float64)
        return _between(norm.cdf((self._limits[None] - mean[:, None]) / self._sigma))

    def _matrix(self, table: ModalityTable) -> NDArray[np.float64]:
        matrix = to_matrix(table)
        return matrix if self._ridge is None else self._scaling.apply(matrix)

    def _new(self, seed: int) -> Any:
        if self._ridge is not None:
            from sklearn.linear_model import Ridge

            return Ridge(alpha=self._ridge)
        from xgboost import XGBRegressor

        return XGBRegressor(**self._settings, random_state=seed, n_jobs=1)


class Perceptron:
    """A few small networks on all columns, averaged."""

    def __init__(self, *, width: int, decay: float, epochs: int, members: int = 3) -> None:
        self._members = members
        self._settings = {
            "hidden_layer_sizes": (width,), "alpha": decay, "max_iter": epochs,
            "learning_rate_init": 2e-3, "n_iter_no_change": epochs,
        }  # fmt: skip

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn for a fixed number of epochs."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        matrix = to_matrix(table)
        self._scaling = Scaling.of(matrix)
        scaled = self._scaling.apply(matrix)
        self._models = [
            MLPClassifier(
                **self._settings,
                batch_size=min(BATCH, len(table)),
                random_state=seed * self._members + member,
            )
            for member in range(self._members)
        ]
        with warnings.catch_warnings():  # stopping after so many epochs is meant
            warnings.simplefilter("ignore", ConvergenceWarning)
            for model in self._models:
                model.fit(scaled, table.grades)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        scaled = self._scaling.apply(to_matrix(table))
        given = [_spread(one.predict_proba(scaled), one.classes_) for one in self._models]
        return np.asarray(np.mean(given, axis=0))


class LateFusion:
    """One model per modality; the mean of those whose modality is present."""

    def __init__(self, make: Callable[[], GradeModel]) -> None:
        self._make = make

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn each modality on the rows that have it."""
        self._prior = np.bincount(table.grades, minlength=GRADES) / len(table)
        self._models = {}
        for name in table.modalities:
            part = table.only([name]).rows(table.present(name))
            if len(np.unique(part.grades)) > 1:
                self._models[name] = self._make()
                self._models[name].fit(part, seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4); where nothing is present, how often grades occur."""
        total, count = np.zeros((len(table), GRADES)), np.zeros((len(table), 1))
        for name, model in self._models.items():
            here = table.present(name)
            if here.any():
                total[here] += model.predict(table.only([name]).rows(here))
                count[here] += 1
        return np.where(count > 0, total / np.maximum(count, 1), self._prior)


class Mean:
    """The mean of several models on the same rows."""

    def __init__(self, models: Sequence[GradeModel]) -> None:
        self._models = models

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn each."""
        for model in self._models:
            model.fit(table, seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        return np.asarray(np.mean([model.predict(table) for model in self._models], axis=0))


class WithDropout:
    """Another model, also shown every row with some of its modalities taken away."""

    def __init__(self, model: GradeModel) -> None:
        self._model = model

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn from the rows as they are and from as many with gaps."""
        self._model.fit(stack(table, drop_at_random(table, seed=seed)), seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        return self._model.predict(table)


class Columns:
    """Another model that sees a few columns only."""

    def __init__(self, model: GradeModel, columns: Mapping[str, tuple[str, ...]]) -> None:
        self._model = model
        self._columns = columns

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn from those columns."""
        self._model.fit(self._some(table), seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        return self._model.predict(self._some(table))

    def _some(self, table: ModalityTable) -> ModalityTable:
        places = {
            name: [table.names[name].index(column) for column in columns]
            for name, columns in self._columns.items()
        }
        return ModalityTable(
            features={name: table.features[name][:, at] for name, at in places.items()},
            names=self._columns,
            patients=table.patients,
            nodules=table.nodules,
            rating=table.rating,
        )


def _spread(given: NDArray[np.float64], known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Columns of the grades that training knew -> all four."""
    probabilities = np.zeros((len(given), GRADES))
    probabilities[:, known] = given
    return probabilities


def _between(at_most: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(grade <= k), shape (N, 3) -> probabilities, shape (N, 4)."""
    rising = np.maximum.accumulate(np.clip(at_most, 0, 1), axis=1)
    edges = np.column_stack([np.zeros(len(rising)), rising, np.ones(len(rising))])
    return np.diff(edges, axis=1)


def _between_ratings(rating: NDArray[np.float64]) -> NDArray[np.float64]:
    """Limits halfway to the next rating that occurs: a mean of 2.0 is still grade I."""
    seen = np.unique(rating)
    limits = []
    for limit in GRADE_LIMITS:
        next_up = seen[seen > limit]
        limits.append(limit + (float(next_up[0]) - limit) / 2 if len(next_up) else limit)
    return np.array(limits)
