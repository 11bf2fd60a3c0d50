"""Abnormal blood markers told in words and read by a sentence encoder (bone tumours).

The bone tumour paper (sources, document 5) has a language model write of abnormal biomarkers, and
BioBERT turn the text into features. Here the sentences are fixed forms of words, and the encoder is
that of `inference.sentence_encoder` (extra ``sentences``).

Blood tests exist here in the SIMULATED cohort only, so no figure of this counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.grading.markers import CUT_OFFS, NAMES, SEROLOGY, UNITS
from inference.grading.table import GradeModel, ModalityTable
from inference.sentence_encoder import Encode, load_encoder

SEROLOGY_MODALITY, TEXT_MODALITY = "serology", "serology_text"
DEGREES = ((5.0, "strongly"), (2.0, "clearly"), (1.0, "slightly"))
"""Times the upper reference limit above which a marker counts as so elevated: assumed."""
NOTHING_ABNORMAL = "All measured blood tumour markers are within the reference range."


def describe_abnormal(log_values: NDArray[np.float64]) -> str | None:
    """One sentence for each marker above its limit.

    Parameters
    ----------
    log_values : ndarray of shape (5,)
        In the order of `SEROLOGY`; NaN was not measured. Low values are not abnormal here: these
        markers have no lower limit.

    Returns
    -------
    str or None
        `NOTHING_ABNORMAL` if none is; None if none was measured.
    """
    if not np.isfinite(log_values).any():
        return None
    sentences = []
    for marker, log_value in zip(CUT_OFFS, log_values, strict=True):
        times = float(np.exp(log_value)) / CUT_OFFS[marker]
        for least, degree in DEGREES:
            if times > least:
                limit = f"{CUT_OFFS[marker]:g} {UNITS[marker]}"
                sentences.append(
                    f"{NAMES[marker]} is {degree} elevated, above the limit of {limit}."
                )
                break
    return " ".join(sentences) or NOTHING_ABNORMAL


def with_text(table: ModalityTable, encode: Encode) -> ModalityTable:
    """``serology`` replaced, in its place, by ``serology_text``; absent where it is absent.

    Raises
    ------
    ValueError
        If the table has no ``serology`` with the columns `SEROLOGY`.
    """
    if table.names.get(SEROLOGY_MODALITY) != SEROLOGY:
        raise ValueError(f"{TEXT_MODALITY} needs the modality {SEROLOGY_MODALITY}: {SEROLOGY}")
    values = table.features[SEROLOGY_MODALITY].astype(np.float64)
    texts = [describe_abnormal(row) for row in values]
    different = sorted({NOTHING_ABNORMAL, *(text for text in texts if text is not None)})
    encoded = encode(different)
    of_text = dict(zip(different, encoded, strict=True))
    nothing = np.full(encoded.shape[1], np.nan, dtype=np.float32)
    rows = np.stack([nothing if text is None else of_text[text] for text in texts])
    columns = tuple(f"sentence_{number:03d}" for number in range(encoded.shape[1]))
    named = {
        TEXT_MODALITY if name == SEROLOGY_MODALITY else name: name for name in table.modalities
    }
    return replace(
        table,
        features={
            new: rows if new == TEXT_MODALITY else table.features[old] for new, old in named.items()
        },
        names={
            new: columns if new == TEXT_MODALITY else table.names[old] for new, old in named.items()
        },
    )


class SerologyInWords:
    """Another model that reads of blood tests instead of seeing their values.

    Parameters
    ----------
    model : GradeModel
        Is given the table of `with_text`.
    encode : callable, optional
        Texts -> features; `load_encoder` when it is first needed, if absent.
    """

    def __init__(self, model: GradeModel, encode: Encode | None = None) -> None:
        self._model = model
        self._encode = encode

    def fit(self, table: ModalityTable, *, seed: int) -> None:
        """Learn from the table in words."""
        self._model.fit(self._in_words(table), seed=seed)

    def predict(self, table: ModalityTable) -> NDArray[np.float64]:
        """Probabilities, shape (N, 4)."""
        return self._model.predict(self._in_words(table))

    def _in_words(self, table: ModalityTable) -> ModalityTable:
        return with_text(table, self._encode or load_encoder())
