"""A `ModalityTable` as one ``.npz`` file, without pickles."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inference.grading.table import ModalityTable


def save_table(path: Path, table: ModalityTable) -> None:
    """Write a table; a file that is there is replaced as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(table_to_bytes(table))
    partial.replace(path)


def table_to_bytes(table: ModalityTable) -> bytes:
    """The file's content; equal tables give equal bytes."""
    arrays: dict[str, Any] = {
        "names": np.array(json.dumps({name: list(table.names[name]) for name in table.features})),
        "patients": table.patients,
        "nodules": table.nodules,
        "rating": table.rating,
        **{f"features_{name}": values for name, values in table.features.items()},
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load_table(file: Path | BinaryIO) -> ModalityTable:
    """Read what `save_table` wrote.

    Raises
    ------
    OSError, KeyError, ValueError
        If the file is absent or something else.
    """
    with np.load(file, allow_pickle=False) as held:
        names = {key: tuple(value) for key, value in json.loads(str(held["names"])).items()}
        return ModalityTable(
            features={name: held[f"features_{name}"] for name in names},
            names=names,
            patients=held["patients"],
            nodules=held["nodules"],
            rating=held["rating"],
        )


def digest_table(table: ModalityTable) -> str:
    """SHA-256 of everything in a table: equal if and only if the tables are."""
    digest = hashlib.sha256()
    for modality, values in table.features.items():
        digest.update(f"{modality}:{','.join(table.names[modality])}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    for column in (table.patients, table.nodules):
        digest.update("\n".join(column.tolist()).encode())
    digest.update(np.ascontiguousarray(table.rating).tobytes())
    return digest.hexdigest()
