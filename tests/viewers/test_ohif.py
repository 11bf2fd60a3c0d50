"""Results of a real run in the OHIF viewer, in a real browser: opened, drawn, and in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.compose.profile import shipped_profile
from tests.conftest import REPOSITORY, need_ct
from tests.viewers.ohif import Viewer, viewer
from tests.viewers.studies import Study, analysed_study, composed_study, not_analysed_study
from workers.case import CaseResult
from workers.phantom import write_phantom

pytestmark = [pytest.mark.peer, pytest.mark.timeout(1500)]

LIMIT_PIXELS = 1.0
"""How far what is drawn may lie from what was found."""
PICTURES = REPOSITORY / "build/viewers"
"""Where each run leaves what it saw, to be looked at."""
SR = "AI lung nodules SR"
SEG = "AI lung nodules SEG"


@pytest.fixture(scope="module")
def ohif(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """One browser and one archive for all studies."""
    with viewer(tmp_path_factory.mktemp("orthanc")) as found:
        yield found


@pytest.fixture(scope="module")
def real(
    ohif: Viewer,
    analysed_ct: Callable[[str], CaseResult],
    tmp_path_factory: pytest.TempPathFactory,
) -> Study:
    """LIDC-IDRI-0001 with its results, in the archive."""
    name = "lidc_idri_0001"
    study = composed_study(
        need_ct(name) / "dicom",
        tmp_path_factory.mktemp("real"),
        shipped_profile("ohif"),
        analysed_ct(name),
    )
    ohif.archive.store([*study.ct, *study.objects])
    return study


@pytest.fixture(scope="module")
def negative(ohif: Viewer, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A phantom in which nothing is found, with its report, in the archive."""
    folder = tmp_path_factory.mktemp("negative")
    ct = folder / "ct"
    write_phantom(
        ct, seed=1, slices=64, spacing_mm=4.0, pixels=256, pixel_spacing_mm=1.4, nodules=[]
    )
    study = analysed_study(ct, folder, shipped_profile("ohif"))
    assert not study.nodules
    ohif.archive.store([*study.ct, *study.objects])
    return study


@pytest.fixture(scope="module")
def not_analysed(ohif: Viewer, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A phantom that the rules refuse, with the report that says so, in the archive."""
    folder = tmp_path_factory.mktemp("not-analysed")
    ct = folder / "ct"
    write_phantom(ct, seed=1, slices=8, pixels=128, pixel_spacing_mm=2.8, nodules=[])
    study = not_analysed_study(ct, folder, shipped_profile("ohif"))
    ohif.archive.store([*study.ct, *study.objects])
    return study


@pytest.fixture(scope="module")
def drawn(ohif: Viewer, real: Study) -> dict[str, Any]:
    """The real study with segmentation and report opened; all that the tests look at."""
    ohif.open_study(real.uid)
    before = ohif.overlay()
    ohif.open_series(SEG)
    ohif.wait_for("window.shown.labels().length > 0 && window.shown.labels()[0].slices.length > 0")
    (labels,) = ohif.tell("labels")
    overlays = {}
    for each in labels["slices"]:
        ohif.go_to(each["instance"])
        overlays[each["instance"]] = ohif.overlay()
    ohif.open_panel("trackedMeasurements-btn")
    ohif.open_series(SR)
    ohif.wait_for("window.shown.measurements().length > 0")
    ohif.wait_for("window.shown.lines().length > 0 && window.shown.words().length > 0")
    ohif.overlay()
    found = {
        "before": before,
        "labels": labels,
        "overlays": overlays,
        "measurements": ohif.tell("measurements"),
        "lines": ohif.tell("lines"),
        "words": ohif.tell("words"),
        "instance": ohif.tell("instance"),
        "complaints": list(ohif.complaints),
        "warnings": list(ohif.warnings),
    }
    ohif.page.screenshot(path=PICTURES / "ohif.png")
    return found


@pytest.mark.real_ct
def test_each_nodule_becomes_a_measurement_with_our_label(
    drawn: dict[str, Any], real: Study
) -> None:
    (nodule,) = real.nodules
    (measurement,) = drawn["measurements"]

    assert measurement["tool"] == "Bidirectional"
    assert measurement["label"] == (
        f"Nodule 1, {nodule['type']}, "
        f"Lung-RADS {nodule['guidelines']['lung_rads']['category']}, "
        f"model level {nodule['grade']['level']} "
        f"(suspicion {100 * nodule['grade']['suspicion']:.0f} %)"
    )
    assert measurement["text"] == [
        f"L: {nodule['long_axis_mm']:.1f} mm",
        f"W: {nodule['short_axis_mm']:.1f} mm",
    ]
    assert measurement["label"] in drawn["words"]
    assert drawn["instance"] == measurement["instance"] == nodule["key_slice"]["sop_instance_uid"]


@pytest.mark.real_ct
def test_the_axes_are_drawn_where_the_findings_say(drawn: dict[str, Any], real: Study) -> None:
    assert far_axes(drawn, real) == []


@pytest.mark.real_ct
def test_the_overlay_is_drawn_where_the_findings_say(drawn: dict[str, Any], real: Study) -> None:
    """Centroid over all slices of the pixels that are coloured, as the screen shows them."""
    (nodule,) = real.nodules
    overlays = drawn["overlays"].values()
    pixels = np.array([each.pixels for each in overlays], dtype=np.float64)
    centres = np.array([each.centre_lps_mm for each in overlays])
    header = real.headers[nodule["key_slice"]["sop_instance_uid"]]

    assert drawn["before"].pixels == 0
    assert (
        away_pixels(pixels @ centres / pixels.sum(), nodule["centre_lps_mm"], header) < LIMIT_PIXELS
    )


@pytest.mark.real_ct
def test_the_viewer_holds_every_voxel_of_every_segment(drawn: dict[str, Any], real: Study) -> None:
    (nodule,) = real.nodules
    points = []
    for each in drawn["labels"]["slices"]:
        voxels = np.array(each["voxels"])
        assert set(voxels[:, 0]) == {1}
        points.append(voxel_centres(voxels[:, 1], real.headers[each["instance"]]))
    everything = np.concatenate(points)

    assert drawn["labels"]["segments"] == ["Nodule 1"]
    assert len(everything) == nodule["voxel_count"]
    assert everything.mean(axis=0) == pytest.approx(nodule["centre_lps_mm"], abs=0.001)


@pytest.mark.real_ct
def test_a_pixel_beside_would_be_seen(drawn: dict[str, Any], real: Study) -> None:
    shifted = [
        {**line, "ends_lps_mm": np.add(line["ends_lps_mm"], [0.8, 0, 0]).tolist()}
        for line in drawn["lines"]
    ]

    assert far_axes({**drawn, "lines": shifted}, real) == ["1 long", "1 short"]


@pytest.mark.real_ct
def test_the_page_has_nothing_to_complain_of(drawn: dict[str, Any]) -> None:
    assert drawn["complaints"] == []


def test_a_negative_report_is_read_in_the_viewer(ohif: Viewer, negative: Study) -> None:
    ohif.open_study(negative.uid)
    ohif.open_series(SR)
    ohif.page.get_by_text("No nodule above the threshold.").wait_for()
    lines = ohif.text().splitlines()

    ohif.page.screenshot(path=PICTURES / "ohif-negative.png")

    assert "Comment: No nodule above the threshold. This does not exclude cancer." in lines
    assert any(line.startswith("Comment: Research use only. Not for diagnosis.") for line in lines)
    assert ohif.complaints == []


def test_a_report_that_nothing_was_analysed_is_read_in_the_viewer(
    ohif: Viewer, not_analysed: Study
) -> None:
    ohif.open_study(not_analysed.uid)
    ohif.open_series("AI lung nodules")
    ohif.page.get_by_text("NOT ANALYSED: no series").wait_for()
    lines = ohif.text().splitlines()
    ohif.page.screenshot(path=PICTURES / "ohif-not-analysed.png")

    assert any(
        line.startswith("Comment: ") and str(not_analysed.findings["reason"]) in line
        for line in lines
    )
    assert ohif.complaints == []


def far_axes(drawn: dict[str, Any], study: Study) -> list[str]:
    """Axes that are not drawn, or further than the limit from where findings.json has them."""
    far = []
    for nodule in study.nodules:
        header = study.headers[nodule["key_slice"]["sop_instance_uid"]]
        for name in ("long", "short"):
            wanted = nodule[f"{name}_axis"]
            ends = np.array([wanted["start_lps_mm"], wanted["end_lps_mm"]])
            if not any(
                max(
                    away_pixels(end, want, header)
                    for end, want in zip(line["ends_lps_mm"], ends, strict=True)
                )
                < LIMIT_PIXELS
                for line in drawn["lines"]
            ):
                far.append(f"{nodule['id']} {name}")
    return far


def away_pixels(
    point_lps_mm: Sequence[float] | NDArray[np.float64],
    wanted_lps_mm: Sequence[float] | NDArray[np.float64],
    header: Dataset,
) -> float:
    """Distance within the slice, in pixels; infinite when the points are in two slices."""
    away_mm = np.asarray(point_lps_mm, dtype=np.float64) - np.asarray(wanted_lps_mm)
    row, column, normal = axes_of(header)
    if abs(away_mm @ normal) > float(header.SliceThickness) / 2:
        return float("inf")
    rows_mm, columns_mm = (float(value) for value in header.PixelSpacing)
    return float(np.hypot(away_mm @ row / columns_mm, away_mm @ column / rows_mm))


def voxel_centres(flat: NDArray[np.int64], header: Dataset) -> NDArray[np.float64]:
    """LPS mm of the pixels of a slice, shape (N, 3), by their place in it (row by row)."""
    j, i = np.divmod(flat, int(header.Columns))
    row, column, _ = axes_of(header)
    rows_mm, columns_mm = (float(value) for value in header.PixelSpacing)
    position = np.array(header.ImagePositionPatient, dtype=np.float64)
    return np.asarray(position + i[:, None] * row * columns_mm + j[:, None] * column * rows_mm)


def axes_of(header: Dataset) -> tuple[NDArray[np.float64], ...]:
    """Directions along a row, along a column and across the slice (PS3.3 C.7.6.2.1.1)."""
    cosines = np.array(header.ImageOrientationPatient, dtype=np.float64)
    return cosines[:3], cosines[3:], np.cross(cosines[:3], cosines[3:])
