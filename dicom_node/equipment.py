"""Who we are on the wire and in objects: names and UIDs of this product, fixed for good."""

from __future__ import annotations

MANUFACTURER = "Pulmonode"
MANUFACTURER_MODEL_NAME = "Pulmonode"
IMPLEMENTATION_CLASS_UID = "2.25.302457316294178341220183657710523448213"
IMPLEMENTATION_VERSION_NAME = "PULMONODE_0_1"
CODING_SCHEME_DESIGNATOR = "99PULMONODE"
"""Our private coding scheme (PS3.16 section 8: private designators begin with 99)."""
