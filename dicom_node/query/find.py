"""One C-FIND of the Study Root Query/Retrieve Information Model (PS3.4 Annex C) as SCU.

Matches by UID and nothing else, and believes no answer about another UID. What the answers
mean: `series` (counts) and `study` (identity). Does not fetch objects.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.sop_class import Verification
from pynetdicom.status import code_to_category

from dicom_node.deliver.peer import EventHandlers, Peer, associated, context
from dicom_node.errors import PeerRefused, PeerUnreachable

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING_STATUSES = frozenset({0xFF00, 0xFF01})
"""A match; with FF01 some optional keys were not supported (PS3.4 table C.4-1)."""
SOP_CLASS_NOT_SUPPORTED = 0x0122
LEVEL_KEYWORDS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
"""The unique key of each level, which every answer must carry (PS3.4 section C.6.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query that was made; `answered` is false when it failed."""

    peer: Peer
    keys: Dataset
    answered: bool


OnAsked = Callable[[Asked], None]
"""Told of each query when it has ended."""


def tell_nobody(asked: Asked) -> None:
    """Where nobody wants to know."""


def find_matches(
    peer: Peer,
    calling_ae_title: str,
    level: str,
    uids: dict[str, str],
    *wanted: str,
    on_asked: OnAsked = tell_nobody,
) -> list[Dataset]:
    """Ask for the attributes of one study or series.

    Parameters
    ----------
    peer : Peer
        Whom to ask. The whole answer must be here within its ``response_timeout_s``, however
        many responses it has.
    calling_ae_title : str
        Our own title.
    level : str
        ``STUDY`` or ``SERIES`` (Query/Retrieve Level, PS3.4 section C.6.2).
    uids : dict of str to str
        Keywords and values to match.
    *wanted : str
        Keywords of the attributes to return.
    on_asked : callable
        Told of the query when it has ended, however that was.

    Returns
    -------
    list of Dataset
        Answers about these UIDs; those about others, which some PACS send as well, are left
        out. Empty when the PACS knows nothing of the kind.

    Raises
    ------
    PeerUnreachable
        If there is no association, or the answer does not come, breaks off or is not DICOM.
    PeerRefused
        If the final status is neither Success nor Warning (PS3.4 table C.4-1), or the PACS
        does not offer the information model. Identifiers that it does not understand (A9xx)
        and queries that it cannot process (Cxxx) are not transient, lack of resources is.
    """
    keys = Dataset()
    keys.QueryRetrieveLevel = level
    for keyword in wanted:
        setattr(keys, keyword, None)
    for keyword, uid in uids.items():
        setattr(keys, keyword, uid)
    return [
        answer
        for answer in ask(peer, calling_ae_title, keys, on_asked)
        if _is_about(answer, level, uids)
    ]


def ask(
    peer: Peer, calling_ae_title: str, keys: Dataset, on_asked: OnAsked = tell_nobody
) -> list[Dataset]:
    """Every answer to a query, believed by nobody yet; raises as `find_matches` does."""
    answered = False
    try:
        answers = _ask(peer, calling_ae_title, keys)
        answered = True
        return answers
    finally:
        on_asked(Asked(peer=peer, keys=keys, answered=answered))


def _ask(peer: Peer, calling_ae_title: str, keys: Dataset) -> list[Dataset]:
    found: list[Dataset] = []
    status = 0x0000
    with (
        cut_after(peer.connect_timeout_s + peer.response_timeout_s) as handlers,
        associated(peer, calling_ae_title, _contexts(), handlers) as assoc,
    ):
        for status, answer in _responses(assoc, peer, keys):  # noqa: B007 - the last one counts
            if answer is not None:
                found.append(answer)
    if code_to_category(status) not in ("Success", "Warning"):
        level = str(keys.QueryRetrieveLevel)
        raise PeerRefused(
            str(peer), f"C-FIND at {level} level", status, transient=_is_transient(status)
        )
    return found


def text_of(ds: Dataset, keyword: str) -> str:
    """A value as text without padding; empty when absent or unreadable."""
    try:
        with config.disable_value_validation():
            return str(ds.get(keyword) or "").strip().strip("\0").strip()
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError):
        return ""


def _contexts() -> list[Any]:
    """The model, and Verification, which every peer accepts (PS3.4 Annex A): a PACS without
    C-FIND then still takes the association, and is told from one that cannot be reached.
    """
    syntaxes = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
    return [context(STUDY_ROOT_FIND, *syntaxes), context(str(Verification), *syntaxes)]


@contextlib.contextmanager
def cut_after(limit_s: float) -> Iterator[EventHandlers]:
    """Event handlers that close the connection after a time.

    pynetdicom reads a PDU without any timeout, and even its abort waits for that: a peer that
    stops in the middle of one would hold us for good.
    """
    timers: list[threading.Timer] = []

    def watch(event: Any) -> None:
        timer = threading.Timer(limit_s, _cut, [event.assoc.dul.socket.socket])
        timer.daemon = True
        timer.start()
        timers.append(timer)

    try:
        yield [(evt.EVT_CONN_OPEN, watch)]
    finally:
        for timer in timers:
            timer.cancel()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _responses(assoc: Any, peer: Peer, keys: Dataset) -> Iterator[tuple[int, Dataset | None]]:
    """Status and identifier of every response up to the final one."""
    deadline = time.monotonic() + peer.response_timeout_s
    try:
        responses = assoc.send_c_find(keys, STUDY_ROOT_FIND)
    except ValueError as error:  # no accepted presentation context
        raise PeerRefused(
            str(peer), "Study Root C-FIND", SOP_CLASS_NOT_SUPPORTED, transient=False
        ) from error
    except (RuntimeError, OSError) as error:
        raise PeerUnreachable(str(peer), f"association broke: {error}") from error
    while True:
        # pynetdicom waits this long for each response; a peer may send them without end.
        assoc.dimse_timeout = max(deadline - time.monotonic(), 0.0)
        response, answer = next(responses)
        if "Status" not in response:
            raise PeerUnreachable(str(peer), "no answer to C-FIND, or it broke off")
        status = int(response.Status)
        if status not in PENDING_STATUSES:
            yield status, None
            return
        if answer is None:
            raise PeerUnreachable(str(peer), "an answer to C-FIND that cannot be read")
        yield status, answer
        if time.monotonic() > deadline:
            raise PeerUnreachable(
                str(peer), f"answers to C-FIND still coming after {peer.response_timeout_s:g} s"
            )


def _is_about(answer: Dataset, level: str, uids: dict[str, str]) -> bool:
    """Whether an answer names the level's UID, and none other than was asked for.

    PACS leave the study out of what they say of a series, though they must not.
    """
    said = {keyword: text_of(answer, keyword) for keyword in uids}
    own = LEVEL_KEYWORDS[level]
    return said[own] == uids[own] and all(said[name] in ("", uids[name]) for name in uids)


def _is_transient(status: int) -> bool:
    """Whether asking again can help (PS3.4 table C.4-1, PS3.7 section C.5)."""
    return not (
        0xA900 <= status <= 0xA9FF
        or 0xC000 <= status <= 0xCFFF
        or status == SOP_CLASS_NOT_SUPPORTED
    )
