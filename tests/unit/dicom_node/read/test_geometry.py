from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dicom_node.read.geometry import (
    TILT_TOLERANCE_DEG,
    GeometryLimits,
    check_geometry,
    longest_run,
)
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
    "a hole": (
        lambda h: h[:5] + h[7:],
        "missing_slices",
        True,
        "2 slices missing in 1 place: slice gap 7.5 mm at z=40.0 mm, limit 2.6 mm",
    ),
    "two holes": (lambda h: h[:4] + h[5:9] + h[10:], "missing_slices", True, "in 2 places"),
    "few": (lambda h: h[:9], "too_few_slices", True, "9 slices, at least 16"),
    "none": (lambda _: [], "too_few_slices", True, "no instance"),
    "a duplicate": (
        lambda h: [*h, replace(h[3], sop_instance_uid="9")],
        "duplicate_slices",
        False,
        "1 of 20 positions hold several images",
    ),
    "mostly every second slice so far": (
        lambda _: grid(60)[:8] + grid(60)[8::2],
        "unequal_spacing",
        True,
        "unequal spacing in 8 of 33 gaps",
    ),
    "one slice beside the others": (
        lambda h: [moved(x, x=40.0 * (k == 10)) for k, x in enumerate(h)],
        "mixed_series",
        False,
        "38.0 mm off the line of the others at z=55.0 mm, limit 0.5 mm",
    ),
    "a position that is no number": (
        lambda h: [*h[:-1], moved(h[-1], z=float("nan"))],
        "no_geometry",
        False,
        "not finite",
    ),
    "a position beyond all scanners": (
        lambda h: [*h[:-1], moved(h[-1], z=1e300)],
        "no_geometry",
        False,
        "limit 100000 mm",
    ),
    "no rows": (
        lambda h: [*h[:-1], replace(h[-1], rows=0)],
        "no_geometry",
        False,
        "has 0 rows",
    ),
    "several frames": (
        lambda h: [*h[:-1], replace(h[-1], number_of_frames=3)],
        "no_geometry",
        False,
        "has 3 frames",
    ),
    "slices that jitter sideways": (
        lambda h: [moved(x, x=0.8 * (k % 3), y=-0.7 * (k % 2)) for k, x in enumerate(h)],
        "mixed_series",
        False,
        "shifted sideways",
    ),
    "a stack that bends": (
        lambda h: [moved(x, x=0.6 * ((k - 9.5) / 9.5) ** 2) for k, x in enumerate(h)],
        "mixed_series",
        False,
        "0.6 mm off the line from the first to the last",
    ),
    "instances of two series": (
        lambda h: [*h[:-5], *(replace(x, series_instance_uid="1.9") for x in h[-5:])],
        "mixed_series",
        False,
        "instances of several series: Series Instance UID 1.2 (15), 1.9 (5)",
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


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(18)),
    st.lists(st.sampled_from(["", "hole", "twin", "aside", "tilt"]), max_size=2),
    st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_the_order_in_which_instances_came_never_matters(
    order: list[int], defects: list[str], angles: tuple[float, float, float]
) -> None:
    headers = grid(count=18, turn=Rotation.from_euler("zyx", angles, degrees=True))
    for defect in defects:
        headers = {
            "": headers,
            "hole": headers[:6] + headers[7:],
            "twin": [*headers, replace(headers[2], sop_instance_uid="7")],
            "aside": [moved(headers[0], x=30.0), *headers[1:]],
            "tilt": [moved(header, x=k) for k, header in enumerate(headers)],
        }[defect]
    shuffled = [headers[index] for index in order if index < len(headers)]
    shuffled += headers[18:]

    one, other = check_geometry(headers), check_geometry(shuffled)

    assert [p.code for p in one.problems] == [p.code for p in other.problems]
    assert one.sop_instance_uids == other.sop_instance_uids
    assert (one.affine is None) == (other.affine is None)
    if one.affine is not None and other.affine is not None:
        assert np.array_equal(one.affine, other.affine)


def test_an_instance_that_is_given_twice_counts_once() -> None:
    assert check_geometry(grid() + grid()[:5]).problems == ()


def test_the_limits_may_be_others() -> None:
    lenient = GeometryLimits(minimum_slices=4, spacing_jitter_mm=1.0, grid_error_mm=2.0)
    headers = [moved(header, z=0.4 * (k % 2)) for k, header in enumerate(grid(count=6))]

    assert check_geometry(headers).problems != ()
    assert check_geometry(headers, limits=lenient).problems == ()


def test_the_longest_run_ends_at_the_holes() -> None:
    headers = grid(count=40)

    run = longest_run(headers[:5] + headers[6:30] + headers[33:])

    assert run == tuple(headers[6:30])


def test_sequential_acquisitions_on_one_grid_are_one_series() -> None:
    headers = [replace(header, acquisition_number=1 + k // 10) for k, header in enumerate(grid())]

    assert check_geometry(headers).problems == ()


def test_a_stated_tilt_of_a_straight_stack_is_warned_of() -> None:
    headers = [replace(header, gantry_tilt_deg=12.0) for header in grid()]

    assert "stacked straight" in check_geometry(headers).warnings[0]


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
