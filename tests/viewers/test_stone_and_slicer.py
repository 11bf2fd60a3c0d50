"""Our objects as Stone and 3D Slicer read them; and that their readers refuse planted defects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from dicom_node.compose.content_tree import concept_of, walk
from dicom_node.compose.profile import Profile, SrDress, load_profiles, shipped_profile
from dicom_node.read.ct_series import CtSeries
from tests.unit.dicom_node.compose.cases import (
    compose_both,
    decode,
    report,
    series_on_disk,
    three_nodules,
)
from tests.viewers import slicer_reader, stone_reader

HALF_PIXEL = 0.5
NAMES = ["Nodule 1", "Nodule 2", "Nodule 3"]
DRAWN_BY_STONE = {
    "default": True, "stone": True, "ohif": True, "slicer": True, "minimal": True,
    "air": False,  # Comprehensive 3D SR
    "weasis": False,  # images named Source
}  # fmt: skip


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return series_on_disk(tmp_path_factory.mktemp("ct"))[0]


def compose(series: CtSeries, profile: Profile | str = "default") -> Dataset:
    dress = shipped_profile(profile) if isinstance(profile, str) else profile
    return decode(compose_both(series, report(three_nodules(series)), profile=dress)[1])


def negative(series: CtSeries) -> Dataset:
    return decode(compose_both(series, report())[1])


def images_of(series: CtSeries) -> dict[str, Dataset]:
    return {str(header.SOPInstanceUID): header for header in series.headers}


@pytest.mark.parametrize("profile", load_profiles().values(), ids=lambda item: item.name)
def test_stone_draws_the_outlines_of_the_profiles_that_are_for_it(
    series: CtSeries, profile: Profile
) -> None:
    opened = stone_reader.open_report(compose(series, profile))

    assert len(opened.regions) == (3 if DRAWN_BY_STONE[profile.name] else 0)


def test_stone_draws_each_outline_on_its_key_slice(series: CtSeries) -> None:
    nodules = three_nodules(series)
    opened = stone_reader.open_report(compose(series, "stone"))

    assert opened.graphics
    for region, nodule in zip(opened.regions, nodules, strict=True):
        outline = np.array(region.points[:-1])[:, ::-1] - HALF_PIXEL
        assert region.sop_instance_uid == series.sop_instance_uids[nodule.key_slice_k]
        assert (region.graphic_type, region.frame) == ("POLYLINE", None)
        assert region.points[0] == region.points[-1]
        assert outline == pytest.approx(np.asarray(nodule.contour_ji), abs=1e-3)


def test_stone_never_shows_a_probability_of_cancer(series: CtSeries) -> None:
    """The model's suspicion is reader opinion and must not pass for one (DCM 111047)."""
    opened = stone_reader.open_report(compose(series, "stone"))

    assert [region.cancer_percent for region in opened.regions] == [None, None, None]


def test_stone_shows_the_report_in_words(series: CtSeries) -> None:
    positive = stone_reader.open_report(compose(series, "stone"))
    nothing = stone_reader.open_report(negative(series))

    assert "  Comment: 3 nodules reported." in positive.text
    assert sum(line.startswith("    Volume: ") for line in positive.text) == 3
    assert positive.title == "Imaging Measurement Report"
    assert nothing.title == "Oncology Measurement Report"
    assert any("No nodule above the threshold" in line for line in nothing.text)
    assert not nothing.graphics


def test_slicer_draws_a_box_around_each_nodule(series: CtSeries) -> None:
    """Where Slicer draws it: half a pixel to the right of and below the true place."""
    loaded = slicer_reader.load_report(compose(series, "slicer"), images_of(series))

    assert loaded.how == "boxes"
    assert [markup.name for markup in loaded.markups] == NAMES
    assert loaded.markups[0].site == "Upper lobe of left lung"
    assert {markup.finding for markup in loaded.markups} == {"Nodule"}
    for markup, nodule in zip(loaded.markups, three_nodules(series), strict=True):
        k, j, i = nodule.mask_origin_kji
        voxels = np.argwhere(nodule.mask[nodule.key_slice_k - k]) + np.array([j, i])
        corners = np.array([voxels.min(axis=0), voxels.max(axis=0) + 2 * HALF_PIXEL])
        wanted = [
            (series.affine @ [nodule.key_slice_k, row, column, 1])[:3] for row, column in corners
        ]
        box = np.array(markup.points_lps_mm)
        assert [box.min(axis=0), box.max(axis=0)] == [
            pytest.approx(point, abs=1e-3) for point in wanted
        ]


def test_slicer_draws_the_default_outline_as_a_line(series: CtSeries) -> None:
    loaded = slicer_reader.load_report(compose(series), images_of(series))

    assert loaded.how == "lines"
    assert [len(markup.points_lps_mm) for markup in loaded.markups] == [41, 41, 41]


def test_slicer_loads_table_and_segmentation_of_a_report_without_regions(
    series: CtSeries,
) -> None:
    profile = Profile(name="table", sr=SrDress(groups=("axes", "segment")))
    nodules = three_nodules(series)
    seg, sr = compose_both(series, report(nodules), profile=profile)
    assert seg is not None

    loaded = slicer_reader.load_report(decode(sr), images_of(series))

    assert loaded.how == "table"
    assert loaded.segmentations == (seg.series_instance_uid,)


def without_evidence(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence


def with_evidence_of_other_images(ds: Dataset) -> None:
    for item in ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence:
        item.SeriesInstanceUID = "1.2.3"
        for instance in item.ReferencedSOPSequence:
            instance.ReferencedSOPInstanceUID += ".9"


def with_an_instance_named_twice(ds: Dataset) -> None:
    series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence.append(series.ReferencedSOPSequence[0])


def with_another_root_template(ds: Dataset) -> None:
    ds.ContentTemplateSequence[0].TemplateIdentifier = "2000"


def with_another_group_template(ds: Dataset) -> None:
    for item in walk(ds):
        for template in item.get("ContentTemplateSequence") or ():
            if template.TemplateIdentifier == "1410":
                template.TemplateIdentifier = "1400"


def without_group_template(ds: Dataset) -> None:
    for item in walk(ds):
        if "ContentTemplateSequence" in item:
            del item.ContentTemplateSequence


def with_images_named(code: Code) -> Callable[[Dataset], None]:
    def rename(ds: Dataset) -> None:
        for item in walk(ds):
            if item.ValueType == "IMAGE" and item.RelationshipType == "SELECTED FROM":
                name = item.ConceptNameCodeSequence[0]
                name.CodeValue, name.CodingSchemeDesignator = code.value, code.scheme_designator
                name.CodeMeaning = code.meaning

    return rename


def without_bounded_by(ds: Dataset) -> None:
    for item in (ds, *walk(ds)):
        if "ContentSequence" in item:
            item.ContentSequence = [
                child
                for child in item.ContentSequence
                if concept_of(child) != slicer_reader.GEOMETRIC_PURPOSE
            ]


@pytest.mark.parametrize(
    "defect",
    [
        without_evidence,
        with_another_root_template,
        with_another_group_template,
        with_images_named(codes.SOURCE),
    ],
)
def test_stone_shows_words_only_after(series: CtSeries, defect: Callable[[Dataset], None]) -> None:
    ds = compose(series, "stone")
    defect(ds)

    opened = stone_reader.open_report(ds)

    assert opened.regions == ()
    assert opened.text


@pytest.mark.parametrize(
    ("defect", "why"),
    [
        (with_evidence_of_other_images, "which the evidence does not name"),
        (with_an_instance_named_twice, "twice"),
        (without_group_template, "ContentTemplateSequence is missing"),
    ],
)
def test_stone_gives_up_after(
    series: CtSeries, defect: Callable[[Dataset], None], why: str
) -> None:
    ds = compose(series, "stone")
    defect(ds)

    with pytest.raises(stone_reader.Refused, match=why):
        stone_reader.open_report(ds)


@pytest.mark.parametrize(
    ("defect", "why"),
    [
        (without_evidence, "no evidence"),
        (with_evidence_of_other_images, "not of the first series"),
        (with_another_root_template, "no TID 1500 report"),
    ],
)
def test_slicer_does_not_load_after(
    series: CtSeries, defect: Callable[[Dataset], None], why: str
) -> None:
    ds = compose(series, "slicer")
    defect(ds)

    with pytest.raises(slicer_reader.Refused, match=why):
        slicer_reader.load_report(ds, images_of(series))


def test_slicer_draws_no_box_without_bounded_by(series: CtSeries) -> None:
    ds = compose(series, "slicer")
    without_bounded_by(ds)

    assert slicer_reader.load_report(ds, images_of(series)).how == "lines"


def test_slicer_takes_a_negative_report_for_a_table_of_nothing(series: CtSeries) -> None:
    loaded = slicer_reader.load_report(negative(series), images_of(series))

    assert loaded == slicer_reader.Loaded(how="table")
