"""Names, order and settings of the radiomic features: the contract that trained weights rely on.

Names are PyRadiomics' in lower case: ``glcm_joint_energy`` is its
``original_glcm_JointEnergy``. A change of a name, of the order or of a setting is a new
`TABLE_VERSION`, and weights trained on another version do not fit.

Left out, with reasons in ``docs/methods.md``: the three axis lengths of the volume and the
GLRLM of the key slice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TABLE_VERSION = 1

_FIRST_ORDER = (
    "energy", "total_energy", "entropy", "minimum", "10percentile", "90percentile", "maximum",
    "mean", "median", "interquartile_range", "range", "mean_absolute_deviation",
    "robust_mean_absolute_deviation", "root_mean_squared", "skewness", "kurtosis", "variance",
    "uniformity",
)  # fmt: skip
_SHAPE = (
    "voxel_volume", "mesh_volume", "surface_area", "surface_volume_ratio", "sphericity",
    "maximum_3d_diameter", "maximum_2d_diameter_slice", "maximum_2d_diameter_column",
    "maximum_2d_diameter_row", "elongation", "flatness",
)  # fmt: skip
_SHAPE_2D = (
    "pixel_surface", "mesh_surface", "perimeter", "perimeter_surface_ratio", "sphericity",
    "maximum_diameter", "major_axis_length", "minor_axis_length", "elongation",
)  # fmt: skip
_GLCM = (
    "autocorrelation", "joint_average", "cluster_prominence", "cluster_shade", "cluster_tendency",
    "contrast", "correlation", "difference_average", "difference_entropy", "difference_variance",
    "joint_energy", "joint_entropy", "imc1", "imc2", "idm", "idmn", "id", "idn",
    "inverse_variance", "maximum_probability", "mcc", "sum_average", "sum_entropy", "sum_squares",
)  # fmt: skip
_GLRLM = (
    "short_run_emphasis", "long_run_emphasis", "gray_level_non_uniformity",
    "gray_level_non_uniformity_normalized", "run_length_non_uniformity",
    "run_length_non_uniformity_normalized", "run_percentage", "gray_level_variance",
    "run_variance", "run_entropy", "low_gray_level_run_emphasis", "high_gray_level_run_emphasis",
    "short_run_low_gray_level_emphasis", "short_run_high_gray_level_emphasis",
    "long_run_low_gray_level_emphasis", "long_run_high_gray_level_emphasis",
)  # fmt: skip
_GLSZM = (
    "small_area_emphasis", "large_area_emphasis", "gray_level_non_uniformity",
    "gray_level_non_uniformity_normalized", "size_zone_non_uniformity",
    "size_zone_non_uniformity_normalized", "zone_percentage", "gray_level_variance",
    "zone_variance", "zone_entropy", "low_gray_level_zone_emphasis",
    "high_gray_level_zone_emphasis", "small_area_low_gray_level_emphasis",
    "small_area_high_gray_level_emphasis", "large_area_low_gray_level_emphasis",
    "large_area_high_gray_level_emphasis",
)  # fmt: skip
_GLDM = (
    "small_dependence_emphasis", "large_dependence_emphasis", "gray_level_non_uniformity",
    "dependence_non_uniformity", "dependence_non_uniformity_normalized", "gray_level_variance",
    "dependence_variance", "dependence_entropy", "low_gray_level_emphasis",
    "high_gray_level_emphasis", "small_dependence_low_gray_level_emphasis",
    "small_dependence_high_gray_level_emphasis", "large_dependence_low_gray_level_emphasis",
    "large_dependence_high_gray_level_emphasis",
)  # fmt: skip
_NGTDM = ("coarseness", "contrast", "busyness", "complexity", "strength")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiomicsSettings:
    """How a nodule is prepared before its features are computed.

    The order is that of the IBSI reference manual, chapter 2 (doi:10.1148/radiol.2020191145):
    interpolation, rounding, range, bins. There is no normalisation: HU are absolute.
    """

    spacing_mm: float | None = 1.0
    """Edge of the voxels (pixels of the key slice) that features are computed on; `None`
    leaves the grid as it is."""
    clip_hu: tuple[float, float] | None = (-1000.0, 1000.0)
    """Densities beyond are set to these; none is left out."""
    bin_width_hu: float = 25.0
    """Width of a grey level; the first one begins at a multiple of it, as in PyRadiomics."""
    energy_shift_hu: float = 1000.0
    """Added to HU before energy and root mean square, so that air counts as nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """One row of features: which, in which order, with which settings.

    Attributes
    ----------
    planar : bool
        Computed on one slice (2-D ROI) instead of the volume (3-D VOI).
    names : tuple of str
        ``class_feature``, in the order of the row.
    """

    planar: bool
    names: tuple[str, ...]
    settings: RadiomicsSettings = field(default_factory=RadiomicsSettings)
    version: int = TABLE_VERSION

    @property
    def classes(self) -> frozenset[str]:
        """The classes that the names come from."""
        return frozenset(name.split("_", 1)[0] for name in self.names)


def _named(**classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{group}_{name}" for group, names in classes.items() for name in names)


ROI_TABLE = FeatureTable(
    planar=True,
    names=_named(
        firstorder=_FIRST_ORDER,
        shape2d=_SHAPE_2D,
        glcm=_GLCM,
        glszm=_GLSZM,
        gldm=_GLDM,
        ngtdm=_NGTDM,
    ),
)
"""Of the key slice."""
VOI_TABLE = FeatureTable(
    planar=False,
    names=_named(
        firstorder=_FIRST_ORDER,
        shape=_SHAPE,
        glcm=_GLCM,
        glrlm=_GLRLM,
        glszm=_GLSZM,
        gldm=_GLDM,
        ngtdm=_NGTDM,
    ),
)
"""Of the whole nodule."""
