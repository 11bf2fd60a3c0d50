"""What a page and a key image say of an earlier examination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dicom_node.read.ct_series import CtSeries
from inference.findings import CaseFindings, EarlierNodule, FollowUp, Nodule, PriorNodule
from inference.follow_up.change import change_since
from tests.unit.workers.page_cases import (
    CREATED,
    findings_of,
    need_wide_font,
    nodules_of,
    small_series,
    text_of,
)
from workers.page.compose import key_image_words
from workers.page.draw import draw_case

DAYS = 100.0


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> CtSeries:
    return small_series(tmp_path_factory.mktemp("ct"))


def grown(nodule: Nodule, factor: float) -> Nodule:
    """The nodule, whose volume was `factor` times smaller `DAYS` before."""
    measured = nodule.measurements
    prior = PriorNodule(
        days_before=DAYS,
        nodule_type=nodule.type,
        volume_mm3=measured.volume_mm3 / factor,
        mean_diameter_mm=measured.mean_diameter_mm / factor ** (1 / 3),
    )
    change = change_since(nodule, prior, matched_by="place", key="1.2", distance_mm=0.5)
    return replace(nodule, change=change)


def compared(nodules: Sequence[Nodule]) -> CaseFindings:
    gone = EarlierNodule(
        key="1.2.3", status="resolved", type="solid", mean_diameter_mm=6.0,
        why="6.0 mm then; nothing at that place now",
    )  # fmt: skip
    follow_up = FollowUp(
        exam="1.2.3", days_before=DAYS, source="own record", compared=True, unlisted=(gone,),
        why="lungs laid over those of 100 days before (overlap 0.97); matched by place",
    )  # fmt: skip
    return findings_of(nodules, follow_up=follow_up)


def page_text(series: CtSeries, findings: CaseFindings, language: str = "en") -> str:
    page = draw_case(series, findings, revision=1, created=CREATED, language=language).page
    return text_of(page)


def test_the_page_tells_each_change_and_what_is_gone(series: CtSeries) -> None:
    (nodule,) = nodules_of(series, 1)

    text = page_text(series, compared([grown(nodule, 2.0)]))

    assert "Since the CT of 100 days before" in text
    assert "Nodule 1: larger +100 %; " in text
    assert "doubles in 100 days" in text
    assert "Earlier nodule 1, solid, resolved: 6.0 mm then" in text


def test_a_page_without_an_earlier_ct_has_no_such_box(series: CtSeries) -> None:
    assert "Since the CT" not in page_text(series, findings_of(nodules_of(series, 1)))


def test_what_has_no_room_is_counted(series: CtSeries) -> None:
    nodules = [grown(nodule, 2.0) for nodule in nodules_of(series, 9)]

    text = page_text(series, compared(nodules))

    assert text.count(": larger +100 %") == 4
    assert "... and 6 more in the structured report" in text


@pytest.mark.peer
def test_the_chinese_page_tells_it_in_chinese(series: CtSeries) -> None:
    need_wide_font()
    (nodule,) = nodules_of(series, 1)

    text = page_text(series, compared([grown(nodule, 2.0)]), "zh")

    assert "增大 +100 %" in text
    assert "倍增时间 100 天" in text
    assert "已消失" in text


def test_the_key_image_tells_the_change(series: CtSeries) -> None:
    (nodule,) = nodules_of(series, 1)
    found = compared([grown(nodule, 1.5)])

    words = key_image_words(found.nodules[0], found, revision=1, image="7", language="en")

    assert words.subtitle.endswith("larger +50 %")
