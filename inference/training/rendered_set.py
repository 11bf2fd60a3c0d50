"""A fixed set of rendered nodules on disk, made in pieces so that it can be interrupted.

Cubes are whole HU (int16) and mapped, not loaded; masks and facts are small. Every row is one
`Rendering`; those for which no place was found are left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.attributes import ATTRIBUTES, CALCIFICATION_ABSENT
from inference.models.voi_network import VoiNetworkConfig
from inference.training.rated_nodules import RatedNodule
from inference.training.rated_samples import RenderedVoi, Rendering, plan_renderings, render
from inference.training.shapes import Part
from inference.training.voi_backgrounds import VoiBackground

PIECE = 256
VERSION = 1
"""Raised when nodules are drawn otherwise."""
OF_THE_MASK = ("sphericity", "lobulation")
"""Attributes that no reader's rating changes in the picture: their truth is the mean of all."""
HU_LIMITS = (-2000.0, 4000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPlan:
    """How many renderings, and of what; the same plan gives the same set."""

    seed: int = 0
    by_everyone: int = 4
    by_each_reader: int = 1
    every: int = 1
    """Only every so-manieth nodule, for quick trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSet:
    """N rendered nodules.

    Attributes
    ----------
    cubes : sequence of ndarray of shape (n, S, S, S), dtype int16
        HU, piece by piece.
    mask_bits : ndarray of shape (N, S**3 / 8), dtype uint8
        Packed masks; see `mask`.
    spacing_mm, slice_spacing_mm : ndarray of shape (N,), dtype float32
        Of the cubes' voxels and of the scans.
    attributes : ndarray of shape (N, 8), dtype float32
        Ratings that the picture shows: of the reader that it was drawn by, or of all.
    calcified : ndarray of shape (N,), dtype bool
        By more than half of the same readers.
    rating : ndarray of shape (N,), dtype float32
        Mean malignancy by the readers that it was *not* drawn by, or by all.
    rating_of_all : ndarray of shape (N,), dtype float32
        Mean malignancy of all readers.
    reader, number : ndarray of shape (N,), dtype int64
        See `Rendering`.
    nodule, patient, part, background : ndarray of shape (N,), dtype str
        Whose, and where it was put.
    """

    cubes: Sequence[NDArray[np.int16]]
    mask_bits: NDArray[np.uint8]
    spacing_mm: NDArray[np.float32]
    slice_spacing_mm: NDArray[np.float32]
    attributes: NDArray[np.float32]
    calcified: NDArray[np.bool_]
    rating: NDArray[np.float32]
    rating_of_all: NDArray[np.float32]
    reader: NDArray[np.int64]
    number: NDArray[np.int64]
    nodule: NDArray[np.str_]
    patient: NDArray[np.str_]
    part: NDArray[np.str_]
    background: NDArray[np.str_]

    def __len__(self) -> int:
        """N."""
        return len(self.rating)

    def cube(self, index: int) -> NDArray[np.float32]:
        """HU of one row, shape (S, S, S)."""
        for piece in self.cubes:
            if index < len(piece):
                return np.asarray(piece[index], dtype=np.float32)
            index -= len(piece)
        raise IndexError(index)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Mask of one row, shape (S, S, S)."""
        size = self.cubes[0].shape[1:]
        bits = np.unpackbits(self.mask_bits[index], count=int(np.prod(size)))
        return bits.reshape(size).astype(bool)


def make_set(
    nodules: Sequence[RatedNodule],
    backgrounds: Sequence[VoiBackground],
    plan: SetPlan,
    folder: Path,
    *,
    config: VoiNetworkConfig,
    told: Callable[[str], None],
) -> None:
    """Render what of a set is not there yet.

    Raises
    ------
    ValueError
        If the folder holds another set.
    """
    names = sorted(item.coarse.name for item in backgrounds)
    said = asdict(plan) | {"version": VERSION, "side": config.side, "backgrounds": names}
    file = folder / "set.json"
    if file.exists() and json.loads(file.read_text()) != said:
        raise ValueError(f"{folder} holds another set of renderings; take another folder")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said, indent=2))
    wanted = plan_renderings(
        nodules[:: plan.every], by_everyone=plan.by_everyone, by_each_reader=plan.by_each_reader
    )
    for start in range(0, len(wanted), PIECE):
        piece = folder / f"piece-{start // PIECE:04d}"
        if piece.exists():
            continue
        rows = [
            (item, made)
            for item in wanted[start : start + PIECE]
            if (made := render(item, backgrounds, config=config, seed=plan.seed)) is not None
        ]
        if rows:
            _write(rows, piece)
        told(f"{folder.name}: rendered {min(start + PIECE, len(wanted))} of {len(wanted)}")


def open_set(folders: Sequence[Path], *, only: str = "piece-*[0-9]") -> RenderedSet:
    """Open what `make_set` made, several folders as one set.

    Parameters
    ----------
    folders : sequence of Path
        As given to `make_set`.
    only : str
        Pattern of the pieces' names.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    """
    pieces = [piece for folder in folders for piece in sorted(folder.glob(only))]
    if not pieces:
        raise FileNotFoundError(f"no renderings in {', '.join(str(item) for item in folders)}")
    cubes = [np.load(piece / "hu.npy", mmap_mode="r") for piece in pieces]
    tables: list[dict[str, Any]] = []
    for piece in pieces:
        with np.load(piece / "facts.npz") as table:
            tables.append({name: table[name] for name in table.files})
    joined = {name: np.concatenate([item[name] for item in tables]) for name in tables[0]}
    return RenderedSet(cubes=cubes, **joined)


def _write(rows: Sequence[tuple[Rendering, RenderedVoi]], piece: Path) -> None:
    """Write a piece whole or not at all."""
    partial = piece.with_name(f"{piece.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    hu = np.stack([np.rint(np.clip(made.hu, *HU_LIMITS)) for _, made in rows]).astype(np.int16)
    np.save(partial / "hu.npy", hu)
    items = [item for item, _ in rows]
    np.savez(
        partial / "facts.npz",
        mask_bits=np.stack([np.packbits(made.mask) for _, made in rows]),
        spacing_mm=np.array([made.spacing_mm for _, made in rows], dtype=np.float32),
        slice_spacing_mm=np.array([made.slice_spacing_mm for _, made in rows], dtype=np.float32),
        attributes=np.array([shown_attributes(item) for item in items], dtype=np.float32),
        calcified=np.array([_calcified(item) for item in items]),
        rating=np.array([item.nodule.rating(item.reader) for item in items], dtype=np.float32),
        rating_of_all=np.array([item.nodule.malignancy.mean() for item in items], dtype=np.float32),
        reader=np.array([item.reader for item in items]),
        number=np.array([item.number for item in items]),
        nodule=np.array([item.nodule.shape.nodule_id for item in items]),
        patient=np.array([item.nodule.shape.patient_id for item in items]),
        part=np.array([_part(item) for item in items]),
        background=np.array([made.background for _, made in rows]),
    )
    partial.rename(piece)


def _part(item: Rendering) -> Part:
    return item.nodule.part


def _calcified(item: Rendering) -> bool:
    patterns = item.nodule.seen_by(item.reader)[:, ATTRIBUTES.index("calcification")]
    return bool((patterns < CALCIFICATION_ABSENT).mean() > 0.5)


def shown_attributes(item: Rendering) -> NDArray[np.float64]:
    """Ratings that a rendering shows, shape (8,)."""
    shown = item.nodule.seen_by(item.reader).mean(axis=0)
    for name in OF_THE_MASK:
        column = ATTRIBUTES.index(name)
        shown[column] = item.nodule.attributes[column]
    return np.asarray(shown)
