"""The scanners of the day: each piece of a study at its time, and again until it is taken."""

from __future__ import annotations

import heapq
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.deliver.peer import Peer, associated
from dicom_node.deliver.scu import read_outgoing, storage_contexts, store_all
from dicom_node.errors import DicomNodeError
from workers.bench.scale.day import Kind, Study
from workers.bench.scale.studies import Chest, Pauses, Piece, Sent, write_study

SENDERS = 24
"""Associations at once, more than the node lets one address have: some bursts are refused."""
AGAIN_S = 1.0
"""Pause before what was refused, or broke, is sent again."""
ATTEMPTS = 60
LOOK_S = 0.02


@dataclass(slots=True)
class Acknowledged:
    """What became of the sending, counted by the scanners."""

    sent: list[Sent] = field(default_factory=list)
    """In the order in which the studies began."""
    uids: dict[int, set[str]] = field(default_factory=dict)
    """SOP Instance UIDs answered with Success, by the study's number."""
    images: int = 0
    """Every Success, those of images sent twice as well."""
    associations: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Associations and images that were not taken, by what was said."""
    given_up: list[int] = field(default_factory=list)
    """Studies of known callers that were never taken whole."""
    latest_s: float = 0.0
    """By how many seconds of the wall clock the slowest study began late."""


@dataclass(order=True, slots=True)
class _Due:
    at: float
    order: int
    study: Study = field(compare=False)
    sent: Sent | None = field(compare=False, default=None)
    piece: int = field(compare=False, default=0)
    left: tuple[Path, ...] = field(compare=False, default=())
    attempts: int = field(compare=False, default=0)


class Scanners:
    """Send a day's studies to a peer.

    Parameters
    ----------
    peer : Peer
        The service.
    chest : Chest
        What every study holds.
    folder : Path
        Where files stand until they are sent.
    speed : float
        Seconds of the day in one second.
    pauses : Pauses
        Between the pieces of a study.
    """

    def __init__(
        self, peer: Peer, chest: Chest, folder: Path, *, speed: float, pauses: Pauses
    ) -> None:
        self.told = Acknowledged()
        self._peer = peer
        self._chest = chest
        self._folder = folder
        self._speed = speed
        self._pauses = pauses
        self._lock = threading.Lock()
        self._due: list[_Due] = []
        self._order = 0

    def send(self, studies: Sequence[Study], *, progress: Callable[[int], None]) -> None:
        """Send all of them; returns when every piece was taken or given up."""
        began = time.monotonic()
        for study in studies:
            self._put(_Due(at=began + study.at_s / self._speed, order=0, study=study))
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="scanner") as pool:
            while self._due or running:
                while (due := self._next()) is not None:
                    running.add(pool.submit(self._attend, due))
                done, running = wait(running, timeout=LOOK_S) if running else (set(), running)
                for item in done:
                    item.result()
                progress(len(self.told.sent))
                if not running:
                    time.sleep(LOOK_S)

    def _put(self, due: _Due) -> None:
        with self._lock:
            self._order += 1
            due.order = self._order
            heapq.heappush(self._due, due)

    def _next(self) -> _Due | None:
        with self._lock:
            if self._due and self._due[0].at <= time.monotonic():
                return heapq.heappop(self._due)
        return None

    def _attend(self, due: _Due) -> None:
        if due.sent is None:
            self._begin(due)
        assert due.sent is not None  # noqa: S101 - made right above
        left = self._send_piece(due)
        if left:
            self._again(due, left)
        elif due.piece + 1 < len(due.sent.pieces):
            self._follow(due, due.piece + 1, due.sent.pieces[due.piece + 1])
        else:
            shutil.rmtree(self._folder / str(due.study.number))

    def _begin(self, due: _Due) -> None:
        late_s = time.monotonic() - due.at
        folder = self._folder / str(due.study.number)
        due.sent = write_study(due.study, self._chest, folder, self._pauses)
        due.left = due.sent.pieces[0].files
        with self._lock:
            self.told.sent.append(due.sent)
            self.told.uids[due.study.number] = set()
            self.told.latest_s = max(self.told.latest_s, late_s)

    def _send_piece(self, due: _Due) -> tuple[Path, ...]:
        """Send what is left of a piece over one association; what is left then."""
        assert due.sent is not None  # noqa: S101
        taken = 0
        objects = [read_outgoing(path) for path in due.left]
        try:
            with associated(self._peer, due.study.scanner, storage_contexts(objects)) as assoc:
                with self._lock:
                    self.told.associations += 1
                for item in store_all(assoc, self._peer, objects):
                    taken += 1
                    with self._lock:
                        self.told.images += 1
                        self.told.uids[due.study.number].add(item.sop_instance_uid)
        except DicomNodeError as error:
            with self._lock:
                self.told.refused[_words(error, self._peer)] += 1
        return due.left[taken:]

    def _again(self, due: _Due, left: tuple[Path, ...]) -> None:
        if due.study.kind is Kind.STRANGER or due.attempts >= ATTEMPTS:
            if due.study.kind is not Kind.STRANGER:
                self.told.given_up.append(due.study.number)
            shutil.rmtree(self._folder / str(due.study.number))
            return
        due.left, due.attempts = left, due.attempts + 1
        due.at = time.monotonic() + AGAIN_S
        self._put(due)

    def _follow(self, due: _Due, number: int, piece: Piece) -> None:
        due.piece, due.left, due.attempts = number, piece.files, 0
        due.at = time.monotonic() + piece.after_s
        self._put(due)


def _words(error: DicomNodeError, peer: Peer) -> str:
    """What was said, without whom it concerns, so that the same is counted as the same."""
    text = str(error).replace(f" with {peer}", "").replace(f"{peer}: ", "")
    return text.split(" of 2.25.")[0][:100]
