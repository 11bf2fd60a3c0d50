from __future__ import annotations

import pytest

from dicom_node.receive.assembly import Assembly, AssemblyPolicy, judge_assembly

HOLE = ("slice gap 5.0 mm at z=-141.0 mm, wanted 2.5 mm",)


@pytest.mark.parametrize(
    ("idle_s", "holes", "analyse_incomplete", "forced", "verdict"),
    [
        (19, (), False, False, Assembly.WAIT),
        (20, (), False, False, Assembly.COMPLETE),
        (20, HOLE, False, False, Assembly.WAIT),
        (299, HOLE, True, False, Assembly.WAIT),
        (300, HOLE, False, False, Assembly.REFUSE),
        (300, HOLE, True, False, Assembly.COMPLETE_WITH_WARNING),
        (0, (), False, True, Assembly.COMPLETE),
        (0, HOLE, False, True, Assembly.COMPLETE_WITH_WARNING),
    ],
)
def test_a_series_is_complete_when_quiet_and_whole_or_when_waiting_is_over(
    idle_s: float,
    holes: tuple[str, ...],
    analyse_incomplete: bool,
    forced: bool,
    verdict: Assembly,
) -> None:
    decision = judge_assembly(
        now=1000.0 + idle_s,
        last_instance_at=1000.0,
        holes=holes,
        policy=AssemblyPolicy(
            quiet_time_s=20, incomplete_wait_s=300, analyse_incomplete=analyse_incomplete
        ),
        forced=forced,
    )

    assert decision.verdict is verdict
    if verdict in {Assembly.REFUSE, Assembly.COMPLETE_WITH_WARNING}:
        assert decision.reason == HOLE[0]
