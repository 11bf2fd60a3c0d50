"""One instance from C-STORE-RQ to its status, whichever way its bytes come.

Refusals are answered after the data set has been read to its end, since a peer that sends
does not listen; what is refused is not written.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from dicom_node.equipment import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.errors import SpoolError, UnreadableInstance
from dicom_node.receive.arriving_file import ArrivingFile, StoredInstance
from dicom_node.receive.part10 import part10_head
from dicom_node.receive.spool import Spool, is_valid_uid

log = structlog.get_logger()


class StoreStatus(enum.IntEnum):
    """C-STORE response statuses that we give (PS3.4 section B.2.3, PS3.7 Annex C)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalRequest:
    """What is known of an instance before its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str


class SpooledArrival:
    """An instance on its way into the spool.

    Parameters
    ----------
    spool : Spool
        Where it goes.
    request : ArrivalRequest
        Whose UIDs are checked here.
    maximum_bytes : int
        Of its data set.
    tally : Counter
        Of the association: ``stored``, ``refused`` and ``bytes`` are counted in it.
    count : callable
        Told the same by name and number, for the SCP as a whole; and each status by its value.
    on_stored : callable
        Called after it is durable.
    """

    def __init__(
        self,
        spool: Spool,
        request: ArrivalRequest,
        *,
        maximum_bytes: int,
        tally: Counter[str],
        count: Callable[[str, int], None],
        on_stored: Callable[[StoredInstance], None],
    ) -> None:
        self._maximum_bytes = maximum_bytes
        self._tally = tally
        self._count = count
        self._on_stored = on_stored
        self._file: ArrivingFile | None = None
        self._refused: StoreStatus | None = None
        self._received_bytes = 0
        try:
            self._file = _begin(spool, request)
            self._file.write(_head(request))
        except UnreadableInstance as error:
            self._refuse(StoreStatus.CANNOT_UNDERSTAND, str(error))
        except SpoolError as error:
            self._refuse(StoreStatus.OUT_OF_RESOURCES, str(error))

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set."""
        self._received_bytes += len(fragment)
        if self._file is None:
            return
        if self._received_bytes > self._maximum_bytes:
            self._refuse(
                StoreStatus.OUT_OF_RESOURCES,
                f"{self._file.sop_instance_uid} is longer than {self._maximum_bytes} bytes",
            )
            return
        try:
            self._file.write(fragment)
        except SpoolError as error:
            self._refuse(StoreStatus.OUT_OF_RESOURCES, str(error))

    def finish(self) -> StoreStatus:
        """Make it durable; Success means that it is."""
        file, self._file = self._file, None
        if file is None:
            return self._refused or StoreStatus.OUT_OF_RESOURCES
        try:
            stored = file.commit()
        except SpoolError as error:
            return self._refuse(StoreStatus.OUT_OF_RESOURCES, str(error))
        self._tally["stored"] += 1
        self._tally["bytes"] += stored.size_bytes
        self._count("stored", 1)
        self._count("bytes", stored.size_bytes)
        self._count(status_name(StoreStatus.SUCCESS), 1)
        self._on_stored(stored)
        return StoreStatus.SUCCESS

    def abandon(self) -> None:
        """The rest never comes: leave nothing behind."""
        if self._file is not None:
            self._file.discard()
            self._file = None

    def _refuse(self, status: StoreStatus, why: str) -> StoreStatus:
        self.abandon()
        self._refused = status
        self._tally["refused"] += 1
        self._count("refused", 1)
        self._count(status_name(status), 1)
        if status is StoreStatus.CANNOT_UNDERSTAND:
            log.warning("instance_refused", reason=why)
        else:
            log.error("instance_not_durable", reason=why)
        return status


def status_name(status: StoreStatus) -> str:
    """A status as the Standard writes it: ``0xA700``."""
    return f"0x{status:04X}"


def _begin(spool: Spool, request: ArrivalRequest) -> ArrivingFile:
    if not is_valid_uid(request.sop_class_uid):
        raise UnreadableInstance(
            "the C-STORE request",
            f"Affected SOP Class UID {request.sop_class_uid[:80]!r} is not a UID",
        )
    return spool.begin(request.sop_instance_uid)


def _head(request: ArrivalRequest) -> bytes:
    return part10_head(
        sop_class_uid=request.sop_class_uid,
        sop_instance_uid=request.sop_instance_uid,
        transfer_syntax_uid=request.transfer_syntax_uid,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        source_ae_title=request.calling_ae_title,
        receiving_ae_title=request.called_ae_title,
    )
