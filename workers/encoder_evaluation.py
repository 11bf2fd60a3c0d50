"""Measuring an encoder, and writing what it says of every rendered nodule for the graders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from inference.attributes import ATTRIBUTES
from inference.cube_measures import MEASURES
from inference.deep_features import Encoder, Standard, describe
from inference.evaluation.encoder import measure_encoder
from inference.models.cross_view_encoder import CrossViewConfig, CrossViewEncoder
from inference.radiomics.table import ROI_TABLE, VOI_TABLE
from inference.training.encoder_loop import EncoderData, run_encoder
from inference.training.rated_nodules import EVERY_READER
from inference.training.rendered_features import measures_of, voi_of
from inference.training.shapes import Part
from inference.weights import Weights, load_weights
from workers.encoder_data import PARTS, fold_folder, rows_of, split_folds
from workers.real_nodules import RealNodule

ALIGN_RIDGE = 1e-2
PLAIN_RIDGE = 10.0


def to_network(weights: Weights) -> CrossViewEncoder:
    """The network itself, for many rows at once."""
    network = CrossViewEncoder(CrossViewConfig.from_dict(weights.config))
    network.load_state_dict(weights.tensors)
    return network


def evaluate_encoder(
    data: EncoderData, weights: Weights, *, part: Part = "test", seed: int = 0
) -> dict[str, Any]:
    """Figures on a part's rendered nodules.

    Returns
    -------
    dict
        ``by_everyone``: drawn by the mean of all readers, who are the truth as well.
        ``by_one_reader``: drawn by one reader; the rating is that of the others.
        ``without_radiomics``: as the second, with the ROI view's radiomics withheld.
        In each ``diameter_alone_spearman`` and ``radiomics_ridge_spearman``: rank correlation
        with the rating of the measured diameter, and of a ridge regression on the radiomics and
        the diameter that is fitted on the training rows.
    """
    network = to_network(weights)
    rows, chosen = data.rows, rows_of(data.rows, part)
    plain = _plain_rating(data)
    everyone = chosen[rows.reader[chosen] == EVERY_READER]
    single = chosen[rows.reader[chosen] != EVERY_READER]
    found: dict[str, Any] = {"part": part}
    for name, some, known in (
        ("by_everyone", everyone, True),
        ("by_one_reader", single, True),
        ("without_radiomics", single, False),
    ):
        if not len(some):
            continue
        answers = run_encoder(network, data, some, with_radiomics=known)
        found[name] = measure_encoder(
            answers,
            attributes=rows.attributes[some],
            calcified=rows.calcified[some],
            rating=rows.rating[some],
            patient=rows.patient[some],
            seed=seed,
        )
        found[name]["diameter_alone_spearman"] = _rank_correlation(
            data.diameter_mm[some], rows.rating[some]
        )
        found[name]["radiomics_ridge_spearman"] = _rank_correlation(plain[some], rows.rating[some])
    return found


def write_described(
    data: EncoderData,
    folder: Path,
    renderings: Path,
    file: Path,
    *,
    folds: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Write what graders are given of every rendered nodule, as ``.npz``.

    Features of training nodules come from the fold network that never saw the patient, brought
    into the space of the shipped network by a ridge regression on the tuning nodules, which no
    network saw. Without folds they are in-sample, which `out_of_fold` tells.

    Arrays, N rows (one per rendering):

    - ``features`` (N, F), ``attributes`` (N, 8), ``encoder_rating`` (N,), ``implied_rating``
      (N,), ``above_2_3_4`` (N, 3), ``calcified_probability`` (N,): the encoder's answers;
    - ``radiomics2d`` (N, 86), ``radiomics3d`` (N, 104), ``measures`` (N, 11);
    - ``rating`` (N,): mean malignancy by the readers that the row was *not* drawn by, or by all
      where it was drawn by all; ``rating_of_all`` (N,);
    - ``reader`` (N,): whose ratings it was drawn by, -1 for all; ``number`` (N,) of the nodule's
      renderings; ``rated_attributes`` (N, 8): the ratings that it shows;
    - ``nodule``, ``patient``, ``part``, ``slice_spacing_mm``, ``out_of_fold`` (N,);
    - ``feature_names``, ``attribute_names``, ``radiomics2d_names``, ``radiomics3d_names``,
      ``measure_names``: of columns; ``facts``: JSON.
    """
    weights = load_weights("encoder", folder)
    rows = data.rows
    every = np.arange(len(rows))
    shipped = to_network(weights)
    told("describing with the shipped network")
    answers = [np.array(item) for item in run_encoder(shipped, data, every)]
    out_of_fold = rows.part != "train"
    tuning = rows_of(rows, "tune")
    fits = []
    for number, fold in enumerate(split_folds(rows, folds)):
        told(f"describing with fold network {number}")
        own = load_weights("encoder", fold_folder(folder, number))
        network = to_network(own)
        some = np.flatnonzero(fold & (rows.part == "train"))
        there = run_encoder(network, data, np.concatenate([some, tuning]))
        align, fit = _aligned(there[0][len(some) :], answers[0][tuning])
        fits.append(fit)
        for column, item in enumerate(there):
            answers[column][some] = item[: len(some)]
        answers[0][some] = align(there[0][: len(some)])
        out_of_fold[some] = True
    features, grade, rating, attributes, calcified, implied = answers
    above = 1 / (1 + np.exp(-grade))
    folders = [renderings / part for part in PARTS]
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "encoder": weights.sha256,
        "version": weights.version,
        "folds": folds,
        "alignment_r2": fits,
        "pictures": "simulated from real shapes and reader ratings",
    }
    np.savez_compressed(
        file,
        features=features,
        attributes=attributes,
        encoder_rating=rating[:, 0],
        implied_rating=implied[:, 0],
        above_2_3_4=above,
        calcified_probability=1 / (1 + np.exp(-calcified[:, 0])),
        radiomics2d=data.roi,
        radiomics3d=voi_of(folders, told=told),
        measures=measures_of(folders, told=told),
        rated_attributes=rows.attributes,
        rating=rows.rating,
        rating_of_all=rows.rating_of_all,
        reader=rows.reader,
        number=rows.number,
        nodule=rows.nodule,
        patient=rows.patient,
        part=rows.part,
        slice_spacing_mm=rows.slice_spacing_mm,
        out_of_fold=out_of_fold,
        feature_names=np.array([f"encoder_{n}" for n in range(features.shape[1])]),
        attribute_names=np.array(ATTRIBUTES),
        radiomics2d_names=np.array(ROI_TABLE.names),
        radiomics3d_names=np.array(VOI_TABLE.names),
        measure_names=np.array(MEASURES),
        facts=np.array(json.dumps(facts)),
    )
    return facts


def look_at(nodules: Iterable[RealNodule], encoder: Encoder) -> list[dict[str, Any]]:
    """Real nodules: what the encoder says of them, nothing more."""
    found = []
    for nodule in nodules:
        line: dict[str, Any] = {"nodule": nodule.name, "known": nodule.known}
        if nodule.voi is not None:
            line |= _plain(asdict(describe(nodule.volume, nodule.voi, encoder)))
        found.append(line)
    return found


def _aligned(
    own: NDArray[np.float32], wanted: NDArray[np.float32]
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], float]:
    """The linear map of a fold network's features onto the shipped one's, and how well it fits."""
    terms = np.column_stack([own, np.ones(len(own))]).astype(np.float64)
    pull = ALIGN_RIDGE * len(own) * np.eye(terms.shape[1])
    pull[-1, -1] = 0.0
    weight = np.linalg.solve(terms.T @ terms + pull, terms.T @ wanted)
    rest = ((terms @ weight - wanted) ** 2).sum()
    fit = 1 - float(rest / ((wanted - wanted.mean(axis=0)) ** 2).sum())

    def align(features: NDArray[np.float32]) -> NDArray[np.float32]:
        mapped = features @ weight[:-1] + weight[-1]
        # No network's own feature lies beyond 1.
        return np.asarray(np.clip(mapped, -1, 1), dtype=np.float32)

    return align, round(fit, 3)


def _plain_rating(data: EncoderData) -> NDArray[np.float64]:
    """The rating by ridge regression on radiomics and diameter, shape (N,): no network."""
    train = data.rows.part == "train"
    terms = np.column_stack(
        [
            Standard.fit(data.roi[train]).apply(data.roi).astype(np.float64),
            data.log_diameter(),
            np.ones(len(data.rows)),
        ]
    )
    pull = PLAIN_RIDGE * np.eye(terms.shape[1])
    pull[-1, -1] = 0.0
    known = terms[train]
    weight = np.linalg.solve(known.T @ known + pull, known.T @ data.rows.rating[train])
    return np.asarray(terms @ weight)


def _rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    return float(spearmanr(first, second).statistic)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """For JSON: arrays as lists, numbers rounded, the fused feature left out."""
    values.pop("features")
    return {
        key: np.round(item, 3).tolist() if isinstance(item, np.ndarray)
        else {name: round(value, 2) for name, value in item.items()} if isinstance(item, dict)
        else round(item, 3) if isinstance(item, float)
        else item
        for key, item in values.items()
    }  # fmt: skip
