"""Trained weights: safetensors files with a manifest of checksums and configurations.

The only place of `inference` that reads files. ``manifest.json`` beside the files says, for
each set of weights: file, sha256, version, the network's configuration, the default threshold.
What does not match its checksum is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from inference.errors import WeightsRefused

SHIPPED = Path(__file__).parent / "models" / "shipped"
MANIFEST = "manifest.json"
MULTIMODAL = "multimodal"
"""Folder of the grader of all modalities, below that of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A checked set of weights.

    Attributes
    ----------
    tensors : dict
        State dict.
    sha256 : str
        Of the file.
    version : str
        Of the training.
    config : dict
        The network's configuration.
    facts : dict
        Whatever else the manifest says: threshold, command, data.
    """

    name: str
    tensors: dict[str, Tensor]
    sha256: str
    version: str
    config: dict[str, Any]
    facts: dict[str, Any]


def load_weights(name: str, folder: Path = SHIPPED) -> Weights:
    """Read a set of weights and check it.

    Raises
    ------
    WeightsRefused
        If there is none of that name, or the file is not the one of the manifest.
    """
    manifest = folder / MANIFEST
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    if name not in entries:
        raise WeightsRefused(name, f"not in {manifest}")
    entry = entries[name]
    path = folder / entry["file"]
    if not path.exists():
        raise WeightsRefused(name, f"{path} is missing")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != entry["sha256"]:
        raise WeightsRefused(
            name, f"{path} has sha256 {found}, the manifest says {entry['sha256']}"
        )
    return Weights(
        name=name,
        tensors=load_tensors(data),
        sha256=found,
        version=entry["version"],
        config=entry["config"],
        facts=entry.get("facts", {}),
    )


def folder_with(name: str, own: Path | None) -> Path:
    """Where a set of weights is: a site's own folder where its manifest names it, else ours.

    Raises
    ------
    WeightsRefused
        If the site's folder has no manifest.
    """
    if own is None:
        return SHIPPED
    manifest = own / MANIFEST
    if not manifest.exists():
        raise WeightsRefused(name, f"{manifest} is missing: {own} is no folder of a training")
    return own if name in json.loads(manifest.read_text()) else SHIPPED


def multimodal_folder(own: Path | None) -> Path:
    """Where the grader of all modalities is: below a site's folder if that has one, else ours."""
    if own is not None and (own / MULTIMODAL / MANIFEST).exists():
        return own / MULTIMODAL
    return SHIPPED / MULTIMODAL


def note_facts(name: str, folder: Path, facts: dict[str, Any]) -> None:
    """Add facts that were found out after training, a threshold say, to the manifest."""
    manifest = folder / MANIFEST
    entries = json.loads(manifest.read_text())
    entries[name]["facts"] |= facts
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")


def save_weights(
    name: str,
    tensors: dict[str, Tensor],
    folder: Path,
    *,
    version: str,
    config: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    """Write a set of weights and its line in the manifest; returns the sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    data = save_tensors({key: tensor.contiguous() for key, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}.safetensors"
    path.write_bytes(data)
    manifest = folder / MANIFEST
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    entries[name] = {
        "file": path.name,
        "sha256": digest,
        "version": version,
        "config": config,
        "facts": facts,
    }
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")
    return digest
