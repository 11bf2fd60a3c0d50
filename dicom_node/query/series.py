"""How many instances of a series the PACS holds, to know when all of them have come."""

from __future__ import annotations

from dicom_node.deliver.peer import Peer
from dicom_node.query.find import OnAsked, find_matches, tell_nobody, text_of


def find_series_instance_count(
    peer: Peer,
    calling_ae_title: str,
    *,
    study_uid: str,
    series_uid: str,
    on_asked: OnAsked = tell_nobody,
) -> int | None:
    """Number of Series Related Instances (0020,1209), an optional key (PS3.4 table C.6-3).

    Parameters
    ----------
    peer : Peer
        The PACS; the call lasts no longer than its timeouts.
    calling_ae_title : str
        Our own title.
    study_uid, series_uid : str
        Which series.
    on_asked : callable
        Told of the query.

    Returns
    -------
    int or None
        Zero when the PACS knows no such series; `None` when it knows the series and does not
        say. The largest where several answers differ: none of the instances may be missed.

    Raises
    ------
    PeerUnreachable
        If the PACS does not answer.
    PeerRefused
        If it answers with a failure.
    """
    answers = find_matches(
        peer,
        calling_ae_title,
        "SERIES",
        {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid},
        "NumberOfSeriesRelatedInstances",
        on_asked=on_asked,
    )
    if not answers:
        return 0
    texts = [text_of(answer, "NumberOfSeriesRelatedInstances") for answer in answers]
    return max((int(text) for text in texts if text.isascii() and text.isdigit()), default=None)
