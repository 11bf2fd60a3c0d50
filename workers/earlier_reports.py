"""Which report of the revision before a new one takes the place of, for each dress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.compose.identity import result_instance_uid
from dicom_node.compose.profile import ObjectKind, Profile
from dicom_node.compose.sr_document import Predecessor


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierReport:
    """A report of the newest earlier revision, and the profiles that it was sent under."""

    predecessor: Predecessor
    revision: int
    profiles: tuple[str, ...]


def predecessor_of(
    earlier: Sequence[EarlierReport], key: str, profile: Profile, names: Sequence[str]
) -> Predecessor | None:
    """The report that a new one takes the place of.

    The one of the same dress; else, where destinations changed their profiles, one that was
    sent under one of these names; else whichever there is, for every dress of a revision says
    the same.

    Parameters
    ----------
    earlier : sequence of EarlierReport
        All reports of one revision; empty for a first one.
    key : str
        Series Instance UID of the CT, or what stands for it in the reports' UIDs.
    profile : Profile
        The new report's dress.
    names : sequence of str
        Every profile that the new report is sent under.
    """
    if not earlier:
        return None

    def rank(report: EarlierReport) -> tuple[bool, bool, str]:
        uid = report.predecessor.sop_instance_uid
        same_dress = uid == result_instance_uid(
            key, report.revision, ObjectKind.SR, profile.variant(ObjectKind.SR)
        )
        return (not same_dress, not set(report.profiles) & set(names), uid)

    return min(earlier, key=rank).predecessor
