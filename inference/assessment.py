"""What rules and risk models say of a measured nodule: the last step to a `Nodule`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.findings import (
    Candidate,
    ClinicalContext,
    Measurements,
    Nodule,
    NoduleType,
)
from inference.lobes import LobeMap
from inference.lungs import LungMask
from inference.measurement import centre_of
from inference.rules import fleischner, lung_rads
from inference.rules.brock import brock
from inference.rules.mayo import mayo
from inference.segmentation import Segmented
from inference.volume import Volume

Measured = tuple[Candidate, Segmented, NoduleType, Measurements]
"""A candidate with its outline, type and size."""


def sizes_of(rows: Sequence[Measured]) -> list[fleischner.SizedNodule]:
    """What the Fleischner guideline asks of measured nodules."""
    return [
        fleischner.SizedNodule(
            nodule_type=nodule_type,
            mean_diameter_mm=measured.mean_diameter_mm,
            solid_mean_diameter_mm=measured.solid_mean_diameter_mm,
            volume_mm3=measured.volume_mm3,
        )
        for _, _, nodule_type, measured in rows
    ]


def assess_nodules(
    volume: Volume,
    lungs: LungMask,
    lobes: LobeMap | None,
    rows: Sequence[Measured],
    context: ClinicalContext,
    *,
    spiculation: Mapping[int, bool | None] | None = None,
) -> tuple[Nodule, ...]:
    """The nodules of an examination, assessed as at baseline; each one's number is its rank.

    Parameters
    ----------
    volume, lungs, lobes : Volume, LungMask, LobeMap
        Where they lie; `None` where lobes are unknown.
    rows : sequence of Measured
        All of the examination: how many they are counts.
    context : ClinicalContext
        What is known of the patient.
    spiculation : mapping of int to bool, optional
        By number, for Brock and Mayo; what is not in it is unknown.
    """
    sizes = sizes_of(rows)
    return tuple(
        _to_nodule(volume, lungs, lobes, rank, sizes, *row, context, (spiculation or {}).get(rank))
        for rank, row in enumerate(rows, start=1)
    )


def _to_nodule(
    volume: Volume,
    lungs: LungMask,
    lobes: LobeMap | None,
    rank: int,
    sizes: Sequence[fleischner.SizedNodule],
    candidate: Candidate,
    item: Segmented,
    nodule_type: NoduleType,
    measured: Measurements,
    context: ClinicalContext,
    spiculation: bool | None,
) -> Nodule:
    centre = centre_of(volume, item.voi)
    place = np.array(centre)
    side = lungs.side_at(place)
    lobe = lobes.lobe_at(place, side) if lobes else None
    upper_lobe = lobes.upper_at(place, side) if lobes else None
    return Nodule(
        id=rank,
        centre_lps_mm=centre,
        voi=item.voi,
        detection_probability=candidate.probability,
        measurements=measured,
        type=nodule_type,
        laterality=side,
        lobe=lobe[0] if lobe else None,
        lobe_probability=lobe[1] if lobe else None,
        lung_rads=lung_rads.assess_nodule(measured, nodule_type, context),
        fleischner=fleischner.assess_nodule(
            sizes[rank - 1], context, others=[*sizes[: rank - 1], *sizes[rank:]]
        ),
        brock=brock(
            max_diameter_mm=measured.long_axis.length_mm,
            nodule_type=nodule_type,
            nodule_count=len(sizes),
            context=context,
            upper_lobe=upper_lobe,
            spiculation=spiculation,
        ),
        mayo=mayo(
            diameter_mm=measured.long_axis.length_mm,
            nodule_type=nodule_type,
            context=context,
            upper_lobe=upper_lobe,
            spiculation=spiculation,
        ),
    )
