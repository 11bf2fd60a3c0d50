"""Many backgrounds on disk: a data set of a thousand CT does not fit into memory.

Each stands in a folder of its own as plain arrays; the large ones are mapped, so that a patch
reads only what it shows. A few are kept open.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import overload

import numpy as np

from inference.training.backgrounds import Background
from inference.volume import Volume

KEPT_OPEN = 32
MAPPED = ("hu", "search")
PLAIN = ("name", "real", "slice_thickness_mm", "noise_hu")
FACTS = "background.json"


def store_background(background: Background, folder: Path) -> None:
    """Write a background into a folder; what is only half written does not count as written."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {item.name: getattr(background, item.name) for item in fields(Background)}
    volume = values.pop("volume")
    plain = {name: values.pop(name) for name in PLAIN}
    for name, array in {**values, "hu": volume.hu, "affine": volume.affine}.items():
        np.save(folder / f"{name}.npy", array)
    partial = folder / f"{FACTS}.partial"
    partial.write_text(json.dumps(plain))
    partial.replace(folder / FACTS)


def is_stored(folder: Path) -> bool:
    """Whether `store_background` finished there."""
    return (folder / FACTS).is_file()


def open_background(folder: Path) -> Background:
    """What `store_background` wrote; voxels are read from disk when they are looked at."""
    values = json.loads((folder / FACTS).read_text())
    for path in sorted(folder.glob("*.npy")):
        values[path.stem] = np.load(path, mmap_mode="r" if path.stem in MAPPED else None)
    volume = Volume(hu=values.pop("hu"), affine=values.pop("affine"))
    return Background(volume=volume, **values)


class BackgroundShelf(Sequence[Background]):
    """Backgrounds in memory, followed by backgrounds on disk."""

    def __init__(self, loaded: Sequence[Background], folders: Sequence[Path]) -> None:
        self._loaded = tuple(loaded)
        self._folders = tuple(folders)
        self._open: OrderedDict[int, Background] = OrderedDict()

    def __len__(self) -> int:
        return len(self._loaded) + len(self._folders)

    @overload
    def __getitem__(self, index: int) -> Background: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Background]: ...
    def __getitem__(self, index: int | slice) -> Background | Sequence[Background]:
        """The background of a number; those on disk are opened as needed."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < len(self._loaded):
            return self._loaded[index]
        if index not in self._open:
            self._open[index] = open_background(self._folders[index - len(self._loaded)])
            if len(self._open) > KEPT_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(index)
        return self._open[index]
