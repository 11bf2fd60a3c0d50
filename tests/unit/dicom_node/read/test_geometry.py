from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dicom_node.read.geometry import TILT_TOLERANCE_DEG, check_geometry
from dicom_node.read.header import Identity, InstanceHeader

Headers = list[InstanceHeader]


def grid(
    count: int = 20,
    spacing_mm: float = 2.5,
    turn: Rotation | None = None,
    origin: tuple[float, float, float] = (-100.0, -80.0, 30.0),
) -> Headers:
    """A regular series; slices in the order of their index."""
    matrix = (turn or Rotation.identity()).as_matrix()
    row, column, normal = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    return [
        InstanceHeader(
            sop_instance_uid=f"1.{k}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            series_instance_uid="1.2",
            study_instance_uid="1.3",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            identity=Identity(),
            modality="CT",
            rows=512,
            columns=400,
            slice_thickness_mm=2.5,
            pixel_spacing_mm=(0.7, 0.8),
            image_orientation=tuple(float(v) for v in (*row, *column)),
            image_position_lps_mm=tuple(
                float(v) for v in np.array(origin) + k * spacing_mm * normal
            ),
        )
        for k in range(count)
    ]


def moved(header: InstanceHeader, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> InstanceHeader:
    position = header.image_position_lps_mm or (0.0, 0.0, 0.0)
    return replace(
        header, image_position_lps_mm=(position[0] + x, position[1] + y, position[2] + z)
    )


def test_a_regular_series_has_no_problem_and_an_exact_affine() -> None:
    geometry = check_geometry(grid())

    assert geometry.problems == ()
    assert geometry.warnings == ()
    assert geometry.spacing_mm == pytest.approx(2.5)
    assert geometry.extent_mm == pytest.approx(47.5)
    assert geometry.affine is not None
    k, j, i = 3, 5, 7
    assert geometry.affine @ (k, j, i, 1) == pytest.approx((-94.4, -76.5, 37.5, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(20)),
    st.tuples(*[st.floats(-25, 25)] * 3),
    st.floats(0.5, 5.0),
)
def test_order_and_orientation_do_not_matter(
    order: list[int], angles: tuple[float, float, float], spacing_mm: float
) -> None:
    turn = Rotation.from_euler("zyx", (angles[0], angles[1] / 2, angles[2] / 2), degrees=True)
    headers = grid(spacing_mm=spacing_mm, turn=turn)

    geometry = check_geometry([headers[index] for index in order])

    assert geometry.problems == ()
    assert geometry.sop_instance_uids == tuple(header.sop_instance_uid for header in headers)
    assert geometry.affine is not None
    for k in (0, 7, 19):
        assert geometry.affine @ (k, 0, 0, 1) == pytest.approx(
            (*(headers[k].image_position_lps_mm or ()), 1), abs=1e-6
        )
    row = np.array(headers[0].image_orientation)[:3]
    assert geometry.affine[:3, 2] == pytest.approx(row * 0.8, abs=1e-6)


def test_a_series_sent_feet_first_in_descending_order_is_the_same_grid() -> None:
    headers = grid()

    assert check_geometry(headers[::-1]).sop_instance_uids[0] == "1.0"


def phases(headers: Headers) -> Headers:
    later = [replace(h, sop_instance_uid=h.sop_instance_uid + ".2") for h in headers]
    return headers + later


CASES: dict[str, tuple[Callable[[Headers], Headers], str, bool, str]] = {
    # what is wrong: (change, code, may late instances mend it, words of the reason)
    "a hole": (lambda h: h[:5] + h[7:], "missing_slices", True, "2 slices missing in 1 places"),
    "two holes": (lambda h: h[:4] + h[5:9] + h[10:], "missing_slices", True, "in 2 places"),
    "few": (lambda h: h[:9], "too_few_slices", True, "9 slices, at least 16"),
    "none": (lambda _: [], "too_few_slices", True, "no instance"),
    "a duplicate": (
        lambda h: [*h, replace(h[3], sop_instance_uid="9")],
        "duplicate_slices",
        False,
        "1 positions hold several images",
    ),
    "two phases": (phases, "temporal_4d", False, "2 images at each of 20 positions"),
    "stretched": (
        lambda h: [moved(x, z=0.9 * (k % 2)) for k, x in enumerate(h)],
        "unequal_spacing",
        False,
        "unequal spacing",
    ),
    "tilted": (
        lambda h: [moved(x, y=k * 2.5 * np.tan(np.radians(12))) for k, x in enumerate(h)],
        "gantry_tilt",
        False,
        "12.0 degrees off their normal",
    ),
    "coronal": (
        lambda h: [
            replace(
                x,
                image_orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
                image_position_lps_mm=(0.0, 2.5 * k, 0.0),
            )
            for k, x in enumerate(h)
        ],
        "not_axial",
        False,
        "90 degrees off the axial plane",
    ),
    "another matrix": (
        lambda h: [*h[:-1], replace(h[-1], rows=256)],
        "mixed_series",
        False,
        "matrix",
    ),
    "another kernel": (
        lambda h: [*h[:-1], replace(h[-1], convolution_kernel="B70f")],
        "mixed_series",
        False,
        "Convolution Kernel",
    ),
    "another pixel spacing": (
        lambda h: [*h[:-1], replace(h[-1], pixel_spacing_mm=(0.7, 0.9))],
        "mixed_series",
        False,
        "Pixel Spacing",
    ),
    "no position": (
        lambda h: [*h[:-1], replace(h[-1], image_position_lps_mm=None)],
        "no_geometry",
        False,
        "Image Position (Patient)",
    ),
    "no pixel size": (
        lambda h: [*h[:-1], replace(h[-1], pixel_spacing_mm=(0.0, 0.8))],
        "no_geometry",
        False,
        "must be above 0",
    ),
    "skewed cosines": (
        lambda h: [*h[:-1], replace(h[-1], image_orientation=(1, 0, 0, 0.5, 1, 0))],
        "no_geometry",
        False,
        "perpendicular",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_defect_has_its_code_its_reason_and_its_hope(name: str) -> None:
    change, code, may_improve, words = CASES[name]

    problem = check_geometry(change(grid())).problems[0]

    assert (problem.code, problem.may_improve) == (code, may_improve)
    assert words in problem.why


def test_rounded_positions_of_a_real_table_pass() -> None:
    random = np.random.default_rng(0)
    headers = [moved(header, z=float(random.uniform(-0.03, 0.03))) for header in grid()]

    assert check_geometry(headers).problems == ()


def test_a_tilt_within_the_tolerance_passes_and_is_kept_in_the_affine() -> None:
    lean = np.tan(np.radians(0.9 * TILT_TOLERANCE_DEG))
    headers = [moved(header, y=k * 2.5 * lean) for k, header in enumerate(grid())]

    geometry = check_geometry(headers)

    assert geometry.problems == ()
    assert geometry.affine is not None
    assert geometry.affine[1, 0] == pytest.approx(2.5 * lean)


def test_overlapping_slices_are_fine_and_gaps_between_thin_ones_are_warned_of() -> None:
    overlapping = [replace(header, slice_thickness_mm=2.0) for header in grid(spacing_mm=1.0)]
    gapped = [replace(header, slice_thickness_mm=1.0) for header in grid(spacing_mm=2.5)]

    assert check_geometry(overlapping).warnings == ()
    assert "not imaged" in check_geometry(gapped).warnings[0]


def test_thick_slices_are_warned_of() -> None:
    thick = [replace(header, slice_thickness_mm=5.0) for header in grid(spacing_mm=5.0)]

    assert "5 mm thick" in check_geometry(thick).warnings[0]
