"""Halves go up."""

from __future__ import annotations

from inference.rules.rounding import round_tenth_mm, round_whole_mm


def test_halves_of_a_tenth_round_up() -> None:
    values = (7.95, 7.949, 8.25, 0.05)

    assert [round_tenth_mm(value) for value in values] == [8.0, 7.9, 8.3, 0.1]


def test_halves_of_a_millimetre_round_up() -> None:
    assert [round_whole_mm(value) for value in (5.49, 5.5, 6.5, 8.49)] == [5, 6, 7, 8]
