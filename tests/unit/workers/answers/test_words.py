"""What labels say, word by word."""

from __future__ import annotations

import pytest

from workers.answers.words import Spoken, read_label


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Rejected.", Spoken(rejected=True)),
        ("非结节", Spoken(rejected=True)),
        ("level iv", Spoken(level="IV")),
        ("Nodule 2, solid, 8.1 x 6.0 mm, model level III (suspicion 40 %)", Spoken(level="III")),
        ("等级\uff1aII", Spoken(level="II")),
        ("rating 3.5, level III", Spoken(rating=3.5, level="III")),
        ("lung-rads 4b", Spoken(lung_rads="4B")),
        ("see prior of May", Spoken()),
        ("levels of contrast", Spoken()),
        ("on level 3 of the spine", Spoken()),
    ],
)
def test_plain_words_are_read(text: str, spoken: Spoken) -> None:
    assert read_label(text) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "level II or level III",
        "level II, level IV",
        "not level IV",
        "probably a false positive",
        "rating 5.9",
        "level IV?",
        "rating 2, rating 4",
        "不是 level IV",
    ],
)
def test_what_is_not_plain_is_unclear(text: str) -> None:
    spoken = read_label(text)

    assert spoken.unclear
    assert spoken == Spoken(unclear=spoken.unclear)
