"""Every number with a clinical meaning, with its source.

Numbers that belong to a method alone (filter widths, weights of a score) stand with it.
"""

from __future__ import annotations

# Densities, HU. Aerated lung lies at -950 to -600, soft tissue at 0 to 80 (Fleischner Society:
# Glossary of Terms for Thoracic Imaging, Radiology 2008;246:697).
LUNG_AT_MOST_HU = -400.0
"""Upper bound of aerated lung when it is told from tissue; the usual choice lies at -320 to
-500 (Hu et al., IEEE TMI 2001;20:490: optimal thresholds near -420)."""
LUNG_MEDIAN_HU = (-980.0, -600.0)
"""Median of what may be lungs: emphysema at the low, dense young lungs at the high end."""
SOLID_AT_LEAST_HU = -300.0
"""Opaque enough to hide vessels, the definition of solid (Fleischner glossary); -300 to -350
is the usual threshold in volumetry of part-solid nodules (Scholten et al., Eur Radiol
2015;25:488)."""
CALCIFIED_AT_LEAST_HU = 200.0
"""Benign calcification: above 200 HU on thin slices (Swensen et al., Radiology 2000;214:73
use 185 after contrast-free reference; 200 leaves room for contrast medium)."""
CALCIFIED_FRACTION = 0.3
"""Share of the nodule that must be that dense: diffuse, central or laminated patterns."""
GROUND_GLASS_SOLID_FRACTION = 0.05
"""A solid share below this is noise or a vessel that passes through: pure ground glass."""
PART_SOLID_FRACTION = 0.7
"""A solid share above this is a solid nodule with a blurred border."""

# What must be where, for values to be HU at all (inference.plausibility).
AIR_AT_MOST_HU = -600.0
"""Median of air and lung together; air is -1000 HU by definition (Hounsfield 1973)."""
TISSUE_HU = (-250.0, 400.0)
"""Median of everything denser: fat at -120 to bone-rich slices after contrast."""

# Lungs.
LUNGS_AT_LEAST_ML = 300.0
"""Less than a tenth of two adult lungs: the thorax was not imaged. Half of it is enough where
it is clearly not gas: what is left of lungs that are mostly fluid."""
SMALL_LUNGS_MEDIAN_HU = -940.0
"""Bowel gas lies lower, so that little lung is not taken from it."""

# Size, mm.
REPORT_AT_LEAST_MM = 6.0
"""Mean diameter: below it neither Fleischner 2017 nor Lung-RADS v2022 asks for more than the
routine, and this method cannot tell nodules from vessels."""
REPORT_AT_MOST_MM = 60.0
"""Larger is a mass or consolidation; the classical segmentation does not delineate those."""
PET_COUNTS_FROM_MM = 8.0
"""Mean diameter: smaller ones are not asked of a PET, for its resolution leaves too little of their
uptake (ACCP, Gould et al., Chest 2013;143 Suppl:e93S; Fleischner 2017; Lung-RADS v2022)."""
THICK_SLICE_MM = 3.0
"""Above it small nodules are missed (ACR-STR practice parameter: 2.5 mm or less)."""
