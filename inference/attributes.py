"""What readers of LIDC-IDRI rated of a nodule, beside its malignancy: names and scales.

The eight CT semantic labels (Armato et al., Med Phys 2011;38:915). All but two are ordered from 1
to 5. Internal structure (1 soft tissue, 2 fluid, 3 fat, 4 air) and calcification (1 popcorn,
2 laminated, 3 solid, 4 non-central, 5 central, 6 absent) are kinds that LIDC numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ATTRIBUTES = (
    "subtlety",
    "internal_structure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)
"""In the order of every array of attributes."""
HIGHEST = (5.0, 4.0, 6.0, 5.0, 5.0, 5.0, 5.0, 5.0)
"""Of each attribute's scale; the lowest is 1."""
CALCIFICATION_ABSENT = 6.0
MALIGNANCY = (1.0, 5.0)
"""Scale of the malignancy rating."""
SUBSOLID_AT_MOST = 3.5
"""Mean texture rating: part-solid is 3, solid is 5."""


def to_shares(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Ratings of shape (..., 8) -> 0 at the lowest, 1 at the highest of each scale."""
    return np.asarray((values - 1.0) / (np.array(HIGHEST) - 1.0), dtype=np.float32)
