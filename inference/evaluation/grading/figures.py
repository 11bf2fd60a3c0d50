"""Pictures of a comparison: reliability, ROC of each grade, missing modalities, fused features.

matplotlib and scikit-learn come with the extra that trains, and are imported here only when
something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.crossval import RANDOM_30, FoldResult
from inference.evaluation.grading.metrics import Grades, Probabilities, reliability
from inference.grading.table import LEVELS

DOTS_AT_MOST = 1500


def draw_reliability(
    answers: Mapping[str, Sequence[Probabilities]], truth: Grades, path: Path
) -> None:
    """Share that was right against how sure a model was, bins of equal mass, all seeds pooled."""
    figure, axes = _sheet(1)
    for name, seeds in answers.items():
        bins = reliability(np.concatenate(seeds), np.tile(truth, len(seeds)))
        axes[0].plot(bins[:, 0], bins[:, 1], marker="o", markersize=3, label=name)
    axes[0].plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes[0].set(xlabel="probability of the grade given", ylabel="share that was right")
    _finish(figure, axes, path)


def draw_rocs(answers: Mapping[str, Sequence[Probabilities]], truth: Grades, path: Path) -> None:
    """One panel per grade against the rest; the first seed's answers."""
    levels = next(iter(answers.values()))[0].shape[1]
    titles = LEVELS if levels == len(LEVELS) else ("benign", "malignant")
    figure, axes = _sheet(levels)
    for name, seeds in answers.items():
        for grade in range(levels):
            rate = roc_points(seeds[0][:, grade], truth == grade)
            axes[grade].plot(rate[:, 0], rate[:, 1], linewidth=1, label=name)
            axes[grade].set(title=titles[grade], xlabel="1 - specificity", ylabel="sensitivity")
    _finish(figure, axes, path)


def roc_points(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """False and true positive rates from (0, 0) to (1, 1), shape (P, 2); ties make one step."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    ups, downs = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    points = np.column_stack([downs / max(1, downs[-1]), ups / max(1, ups[-1])])
    return np.vstack([[0.0, 0.0], points])


def draw_missing(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Macro ROC area with each modality taken away."""
    several = {name: model for name, model in models.items() if model["missing"]}
    if not several:
        return
    figure, axes = _sheet(1)
    cases = list(next(iter(several.values()))["missing"])
    width = 0.8 / len(several)
    for number, (name, model) in enumerate(several.items()):
        heights = [model["auc_ovr"]["mean"], *(model["missing"][case] for case in cases)]
        places = np.arange(len(heights)) + number * width
        axes[0].bar(places, heights, width, label=name)
    ticks = np.arange(1 + len(cases)) + 0.4 - width / 2
    axes[0].set_xticks(ticks, ["all there", *map(_without, cases)], rotation=20)
    axes[0].set(ylabel="macro ROC area", ylim=(0.5, 1.0))
    _finish(figure, axes, path)


def _without(case: str) -> str:
    return "30 % at random" if case == RANDOM_30 else f"no {case}"


def draw_embedding(fold: FoldResult, grades: Grades, path: Path) -> None:
    """t-SNE of a fold's fused features, coloured by grade."""
    from sklearn.manifold import TSNE

    embedding = fold.explained["embedding"][:DOTS_AT_MOST]
    known = grades[fold.rows][:DOTS_AT_MOST]
    near = min(30.0, max(2.0, len(embedding) / 4))
    flat = TSNE(perplexity=near, init="pca", random_state=0).fit_transform(embedding)
    figure, axes = _sheet(1)
    for grade in np.unique(known):
        part = flat[known == grade]
        axes[0].scatter(part[:, 0], part[:, 1], s=5, label=LEVELS[grade])
    axes[0].set(xticks=[], yticks=[], title="fused features, t-SNE")
    _finish(figure, axes, path)


def draw_attention(
    folds: Sequence[FoldResult], modalities: Sequence[str], grades: Grades, path: Path
) -> None:
    """Mean attention on each modality, by grade."""
    attention = np.concatenate([fold.explained["attention"] for fold in folds])
    known = np.concatenate([grades[fold.rows] for fold in folds])
    figure, axes = _sheet(1)
    levels = np.unique(known)
    for at, modality in enumerate(modalities):
        means = [attention[known == grade, at].mean() for grade in levels]
        axes[0].bar(np.arange(len(levels)) + 0.8 * at / len(modalities), means,
                    0.8 / len(modalities), label=modality)  # fmt: skip
    axes[0].set_xticks(np.arange(len(levels)) + 0.4, [LEVELS[grade] for grade in levels])
    axes[0].set(ylabel="mean attention", xlabel="grade")
    _finish(figure, axes, path)


def _sheet(panels: int) -> tuple[Any, list[Any]]:
    # The class, not pyplot: no window system is looked for, nothing stays in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 3.2 * panels), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, 1 + at) for at in range(panels)]


def _finish(figure: Any, axes: list[Any], path: Path) -> None:
    axes[0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
