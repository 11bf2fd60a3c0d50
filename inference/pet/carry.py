"""Places of a CT in a PET: the same ones in one frame of reference, else through a registration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.follow_up.registration import Registration

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """A map from the CT to the PET, and back, near one nodule.

    Attributes
    ----------
    registration : Registration or None
        Of the CT to the one in the PET's frame of reference; `None` where both have one frame.
    shift_mm : ndarray of shape (3,)
        What is added to places of the CT first, L, P, S: what the registration is off by here.
    """

    registration: Registration | None = None
    shift_mm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def to_pet(self, points_lps_mm: Points) -> Points:
        """Where points of the CT, shape (N, 3), LPS mm, lie in the PET."""
        if self.registration is None:
            return points_lps_mm
        return self.registration.to_prior(points_lps_mm + self.shift_mm)

    def to_ct(self, points_lps_mm: Points) -> Points:
        """Where points of the PET, shape (N, 3), LPS mm, lie in the CT."""
        if self.registration is None:
            return points_lps_mm
        return self.registration.to_current(points_lps_mm) - self.shift_mm


SAME_FRAME = Carry()
