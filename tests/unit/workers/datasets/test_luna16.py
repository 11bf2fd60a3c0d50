from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from inference.volume import Volume
from workers.datasets.luna16 import find_scans, read_metaimage
from workers.datasets.scan import AnnotatedScan, BrokenScan
from workers.errors import DatasetRefused

ORIGIN, SPACING = (-40.0, -30.0, 100.0), (0.7, 0.8, 2.5)
UIDS = ("1.2.840.1", "1.2.840.2")
BRIGHT = (3, 5, 9)
"""k, j, i of one bright voxel."""


def write_mhd(path: Path, *, flipped: tuple[int, ...] = ()) -> None:
    """The same patient whichever axes (0 is x) are stored the other way round."""
    hu = np.full((6, 10, 12), -850, dtype=np.int16)
    hu[BRIGHT] = 40
    hu[0, 0, 0] = -3024
    direction, origin = np.eye(3), np.array(ORIGIN)
    for axis in flipped:
        hu = np.flip(hu, 2 - axis)
        origin[axis] += SPACING[axis] * ((12, 10, 6)[axis] - 1)
        direction[axis, axis] = -1
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(hu))
    image.SetSpacing(SPACING)
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path))


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    for number, uid in enumerate(UIDS):
        write_mhd(tmp_path / f"subset{number}" / f"{uid}.mhd")
    (tmp_path / "annotations.csv").write_text(
        "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
        f"{UIDS[0]},-33.7,-26.0,107.5,6.25\n{UIDS[0]},-38.0,-29.0,101.0,4\n"
    )
    return tmp_path


def scans(folder: Path) -> list[AnnotatedScan]:
    found = list(find_scans(folder))
    assert all(isinstance(item, AnnotatedScan) for item in found), found
    return [item for item in found if isinstance(item, AnnotatedScan)]


def bright_at(volume: Volume) -> np.ndarray:
    place = np.unravel_index(int(volume.hu.argmax()), volume.shape)
    return volume.index_to_lps(place)


@pytest.mark.parametrize("flipped", [(), (0, 1), (2,), (0, 1, 2)])
def test_a_voxel_is_at_the_same_place_whichever_way_the_axes_run(
    tmp_path: Path, flipped: tuple[int, ...]
) -> None:
    write_mhd(tmp_path / "a.mhd", flipped=flipped)

    volume = read_metaimage(tmp_path / "a.mhd")

    k, j, i = BRIGHT
    assert bright_at(volume) == pytest.approx([-40 + 0.7 * i, -30 + 0.8 * j, 100 + 2.5 * k])
    assert volume.affine == pytest.approx(
        np.array([[0, 0, 0.7, -40], [0, 0.8, 0, -30], [2.5, 0, 0, 100], [0, 0, 0, 1]])
    )
    assert volume.hu.min() == -1024  # padding


def test_annotations_belong_to_their_scan_and_a_scan_without_any_is_one_too(
    collection: Path,
) -> None:
    first, second = scans(collection)

    assert (first.identifier, second.identifier) == UIDS
    assert [item.diameter_mm for item in first.nodules] == [6.25, 4.0]
    assert first.nodules[0].centre_lps_mm == pytest.approx(bright_at(first.read_volume()))
    assert first.nodules[0].readers == 3
    assert second.nodules == ()


def test_one_subset_alone_finds_the_tables_beside_it(collection: Path) -> None:
    tables = collection / "CSVFILES"
    tables.mkdir()
    (collection / "annotations.csv").rename(tables / "annotations.csv")

    assert [scan.identifier for scan in scans(collection / "subset1")] == [UIDS[1]]


def test_excluded_findings_and_candidates_come_along(collection: Path) -> None:
    (collection / "annotations_excluded.csv").write_text(
        f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{UIDS[1]},1,2,103,-1\n{UIDS[1]},4,5,6,8\n"
    )
    (collection / "candidates_V2.csv").write_text(
        f"seriesuid,coordX,coordY,coordZ,class\n{UIDS[1]},7,8,9,0\n{UIDS[1]},1,1,1,1\n"
    )

    second = scans(collection)[1]

    assert [mark.radius_mm for mark in second.other_marks] == [5.0, 4.0]
    assert second.negatives_lps_mm.tolist() == [[7, 8, 9]]


def test_a_bad_number_breaks_its_scan_alone_and_names_the_line(collection: Path) -> None:
    with (collection / "annotations.csv").open("a") as stream:
        stream.write(f"{UIDS[1]},1,2,three,5\n")

    first, second = find_scans(collection)

    assert isinstance(first, AnnotatedScan)
    assert isinstance(second, BrokenScan)
    assert "annotations.csv, line 4: coordz is 'three'" in second.why


def test_a_missing_raw_file_says_what_to_do(collection: Path) -> None:
    (collection / "subset0" / f"{UIDS[0]}.raw").unlink()

    with pytest.raises(DatasetRefused, match=r"unpack the .mhd and its .raw anew"):
        scans(collection)[0].read_volume()


def test_an_image_that_is_not_axial_is_refused(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6), dtype=np.int16))
    image.SetDirection([1, 0, 0, 0, 0, 1, 0, -1, 0])
    SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))

    with pytest.raises(DatasetRefused, match="is not axial"):
        read_metaimage(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "holds no annotations.csv"),
        ("seriesuid,coordX,coordY\n", "has no column coordz, diameter_mm"),
    ],
)
def test_a_collection_without_usable_annotations_is_refused(
    collection: Path, text: str | None, why: str
) -> None:
    (collection / "annotations.csv").unlink()
    if text is not None:
        (collection / "annotations.csv").write_text(text)

    with pytest.raises(DatasetRefused, match=why):
        list(find_scans(collection))
