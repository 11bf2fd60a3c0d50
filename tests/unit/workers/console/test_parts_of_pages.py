"""What pages are put together of: kept values, charts, words on a radiologist's report."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

import jinja2

from workers.console.charts import ceiling, meter, share_bar, signed_meter, trend_chart
from workers.console.kept import Kept
from workers.console.recent import Recent
from workers.console.rendering import TEMPLATES
from workers.usecases.overview import Trend


def test_what_is_kept_is_made_once_and_again_when_it_is_old() -> None:
    made: list[int] = []

    def make() -> int:
        time.sleep(0.02)
        made.append(1)
        return len(made)

    kept: Kept[int] = Kept(60)
    threads = [threading.Thread(target=kept.get, args=(make,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    old: Kept[int] = Kept(0)

    assert (kept.get(make), len(made)) == (1, 1)
    assert [old.get(make), old.get(make)] == [2, 3]


def test_that_there_was_nothing_is_not_kept() -> None:
    answers = iter([[], ["a scanner"], ["another"]])
    kept: Kept[list[str]] = Kept(60)

    assert [kept.get(lambda: next(answers)) for _ in range(3)] == [
        [], ["a scanner"], ["a scanner"]
    ]  # fmt: skip


def test_the_longest_unused_value_goes_first() -> None:
    recent: Recent[str, str] = Recent(2)
    for key in ("a", "b", "a", "c"):
        recent.get(key, lambda key=key: key.upper())  # type: ignore[misc]

    assert recent.get("a", lambda: "new") == "A"
    assert recent.get("b", lambda: "new") == "new"


def test_a_chart_draws_each_count_at_its_height_and_tells_it_in_words() -> None:
    starts = tuple(datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(3))
    trend = Trend(starts=starts, received=(0, 4, 10), arrived=(0, 2, 8), stopped=(0, 0, 1))

    chart = trend_chart(trend, label="Test", marks="%H:00", every=1)

    assert "Test: 14 received, 10 arrived, 1 stopped" in chart
    heights = re.findall(r'class="received" [^>]*height="([\d.]+)"', chart)
    assert [float(height) for height in heights] == [0.0, 36.0, 90.0]
    assert chart.count('class="stopped"') == 1
    assert [ceiling(value) for value in (0, 1, 3, 10, 11, 501)] == [1, 1, 5, 10, 20, 1000]


def test_bars_fill_their_share() -> None:
    def widths(text: str) -> list[str]:
        return re.findall(r'width="([\d.]+)" height="10"/>', text)

    assert widths(share_bar((1, 0, 3, 0), label="")) == ["100", "25.00", "0.00", "75.00", "0.00"]
    assert widths(share_bar((0, 0), label="")) == ["100", "0.00", "0.00"]
    assert widths(meter(1.7, label="")) == ["100", "100.00"]
    assert 'x="30.00" width="20.00"' in signed_meter(-0.2, 0.5, label="")
    assert 'x="50.00" width="50.00"' in signed_meter(0.9, 0.5, label="")
    assert "&lt;b&gt;" in meter(0.5, label="<b>")


def test_the_viewers_words_on_the_radiologists_report() -> None:
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    reported: Any = pages.get_template("reported.html").module
    source = {"source": "hl7", "message_id": "RAD-<1>", "on": "2026-03-02"}
    told = {
        "reports": [source],
        "why": ["lobe RUL"],
        "listed_for_report": True,
        "spiculation_used": False,
    }
    missed = {
        "reports": [source],
        "said": {"size_mm": 9.0},
        "why": "no candidate fits in place and size",
    }

    nodule = str(reported.nodule_report(told))
    exam = str(
        reported.exam_report({"reports": [source], "not_found": [missed], "detected_only": [2]})
    )

    assert "Listed only because the report describes it (hl7 RAD-&lt;1&gt;, 2026-03-02)" in nodule
    assert "lobe RUL; spiculation for Brock and Mayo from there: no" in nodule
    assert "not in it: nodule 2" in exam
    assert "Described and not found: 9.0 mm, place not told; no candidate fits" in exam
