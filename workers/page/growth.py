"""What became of the nodules since an earlier CT, as lines of a page."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_node.compose.words import Words as Sentences
from inference.findings import CaseFindings, FollowUp, NoduleChange
from workers.page.content import Box
from workers.page.words import Words


def follow_up_box(findings: CaseFindings, words: Words, said: Sentences) -> Box | None:
    """How they were compared, each nodule's change, and what is listed no more.

    Returns
    -------
    Box or None
        `None` where there was no earlier examination.
    """
    follow_up = findings.follow_up
    if follow_up is None:
        return None
    return Box(
        title=words.follow_up.format(days=f"{follow_up.days_before:.0f}"),
        lines=(
            said.translate(follow_up.why),
            *(
                words.changed.format(
                    nodule=words.nodule.format(number=nodule.id),
                    change=change_in_short(nodule.change, said),
                    why=said.translate(nodule.change.why),
                )
                for nodule in findings.nodules
                if nodule.change is not None
            ),
            *_unlisted(follow_up, words, said),
        ),
    )


def change_in_short(change: NoduleChange, said: Sentences) -> str:
    """``larger +140 %``: the volume's change where it is known, else the mean diameter's."""
    name = said.name(change.status)
    if change.growth is not None:
        return f"{name} {change.growth.volume_change_percent:+.0f} %"
    if change.diameter_change_mm is not None:
        return f"{name} {change.diameter_change_mm:+.1f} mm"
    return name


def _unlisted(follow_up: FollowUp, words: Words, said: Sentences) -> Iterator[str]:
    for number, item in enumerate(follow_up.unlisted, start=1):
        yield words.listed_then.format(
            number=number,
            type=words.types[item.type],
            what=said.translate(f"{item.status}: {item.why}"),
        )
