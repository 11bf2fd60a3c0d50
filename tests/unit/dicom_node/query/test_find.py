"""Counts, refusals and silence over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pynetdicom.sop_class import Verification

from dicom_node.deliver.peer import Peer
from dicom_node.errors import PeerRefused, PeerUnreachable
from dicom_node.mini_pacs import MiniPacs
from tests.unit.dicom_node.query.cases import broken_line, count, entry, impatient


def test_the_pacs_says_how_many_instances_a_series_has(pacs: MiniPacs) -> None:
    pacs.catalogue = [
        entry(NumberOfSeriesRelatedInstances=133),
        entry(SeriesInstanceUID="2.25.7", NumberOfSeriesRelatedInstances=4),
        entry(StudyInstanceUID="2.25.8", NumberOfSeriesRelatedInstances=5),
    ]

    assert count(pacs.peer) == 133


def test_a_series_that_the_pacs_does_not_know_has_no_instance(pacs: MiniPacs) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=133)]

    assert count(pacs.peer, "2.25.7") == 0


@pytest.mark.parametrize("value", [None, ""])
def test_a_pacs_that_does_not_count_is_told_from_one_that_has_nothing(
    pacs: MiniPacs, value: str | None
) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=value)]

    assert count(pacs.peer) is None


def test_the_largest_of_several_answers_counts(pacs: MiniPacs) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=n) for n in (20, 133, None, 7)]

    assert count(pacs.peer) == 133


def test_answers_about_other_uids_are_left_out(serve: Callable[..., Peer]) -> None:
    peer = serve(
        entry(SeriesInstanceUID="2.25.7", NumberOfSeriesRelatedInstances=900),
        entry(StudyInstanceUID="2.25.8", NumberOfSeriesRelatedInstances=901),
        entry(SeriesInstanceUID=None, NumberOfSeriesRelatedInstances=902),
        entry(StudyInstanceUID=None, NumberOfSeriesRelatedInstances=12),
    )

    assert count(peer) == 12


def test_a_pacs_without_the_model_refuses_for_good(serve: Callable[..., Peer]) -> None:
    with pytest.raises(PeerRefused, match="0122") as refused:
        count(serve(model=Verification))

    assert not refused.value.transient


@pytest.mark.parametrize(
    ("status", "transient"),
    [(0xA700, True), (0xFE00, True), (0x0110, True), (0xA900, False), (0xC001, False)],
)
def test_a_failure_is_no_answer_even_after_answers(
    pacs: MiniPacs, status: int, transient: bool
) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=133)]
    pacs.find_status = status

    with pytest.raises(PeerRefused, match=f"{status:04X}") as refused:
        count(pacs.peer)

    assert refused.value.transient is transient


def test_a_pacs_that_does_not_answer_in_time_is_unreachable(pacs: MiniPacs) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=133)]
    pacs.find_delay_s = 60.0
    started = time.monotonic()

    with pytest.raises(PeerUnreachable):
        count(impatient(pacs.peer))

    assert time.monotonic() - started < 10


def test_a_pacs_that_refuses_associations_is_unreachable_until_it_does_not(
    pacs: MiniPacs,
) -> None:
    pacs.refuse_associations = True
    with pytest.raises(PeerUnreachable, match="rejected"):
        count(pacs.peer)

    pacs.refuse_associations = False
    assert count(pacs.peer) == 0


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "goes silent"])
@pytest.mark.parametrize("whole_pdus", [0, 1, 2], ids=["accept", "command", "data"])
def test_a_pacs_that_stops_in_the_middle_of_a_pdu_holds_nobody_for_good(
    pacs: MiniPacs, whole_pdus: int, hang_up: bool
) -> None:
    pacs.catalogue = [entry(NumberOfSeriesRelatedInstances=133)]

    with broken_line(pacs.peer, whole_pdus=whole_pdus, hang_up=hang_up) as peer:
        started = time.monotonic()
        with pytest.raises(PeerUnreachable):
            count(impatient(peer))
        held_s = time.monotonic() - started  # the line itself takes its time to end

    assert held_s < 10
