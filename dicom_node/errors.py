"""The error tree of `dicom_node`.

::

    DicomNodeError
    ├── UnreadableInstance     a file is not DICOM, is cut short, or lacks what every instance has
    ├── SeriesRejected         a series cannot become a volume, with the rule that says why
    ├── SuvUnknown             a PET series does not say how its values become SUV
    ├── SpoolError             an instance could not be made durable
    │   └── SpoolFull          the disk is under its reserve
    ├── NobodyAllowed          the SCP was started without a single allowed calling AE title
    ├── TlsUnusable            a certificate, key or list of authorities cannot be used
    ├── ComposeError           an object could not be composed from the content given
    ├── AuditNotSent           the audit repository did not take a message (transient)
    └── DeliveryError          a peer did not take an object
        ├── PeerUnreachable    no association (transient)
        └── PeerRefused        a status that is not success (transient or not, by its class)

Each class stores the facts, builds its message, and says with `transient` whether trying
again can help; nothing else decides retries.
"""

from __future__ import annotations


class DicomNodeError(Exception):
    """Base of all errors that `dicom_node` raises on purpose."""

    transient: bool = False


class UnreadableInstance(DicomNodeError):
    """A stored file cannot be read as the DICOM instance that it claims to be."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"cannot read {where}: {why}")


class SeriesRejected(DicomNodeError):
    """A series cannot become a volume.

    Attributes
    ----------
    code : str
        Constant for programs, for example ``"missing_slices"``.
    why : str
        What, where and the limit, for people.
    """

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(why)


class SuvUnknown(DicomNodeError):
    """A PET series does not say how its values become standardised uptake values."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class SpoolError(DicomNodeError):
    """An instance could not be made durable; the sender must keep it."""

    transient = True


class SpoolFull(SpoolError):
    """The disk holds less than its reserve."""

    def __init__(self, free_bytes: int, reserve_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.reserve_bytes = reserve_bytes
        super().__init__(
            f"{free_bytes / 1e9:.2f} GB free on the spool's disk, "
            f"reserve {reserve_bytes / 1e9:.2f} GB"
        )


class NobodyAllowed(DicomNodeError):
    """The SCP was started without a single allowed calling AE title."""

    def __init__(self) -> None:
        super().__init__(
            "no calling AE title is allowed: set PULMONODE_CALLING_AE_TITLES to your PACS's AE "
            "titles (comma separated), or to 'any'"
        )


class TlsUnusable(DicomNodeError):
    """A certificate, key or list of authorities cannot be used; the message says which and why.

    Transient, as a delivery sees it: files are put right without anybody telling us.
    """

    transient = True


class ComposeError(DicomNodeError):
    """A result object could not be composed from the content given."""


class AuditNotSent(DicomNodeError):
    """The audit repository did not take a message, or there is no line to it."""

    transient = True

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"audit repository {where}: {why}")


class DeliveryError(DicomNodeError):
    """A peer did not take an object."""

    transient = True


class PeerUnreachable(DeliveryError):
    """No association with the peer."""

    def __init__(self, peer: str, why: str) -> None:
        self.peer = peer
        self.why = why
        super().__init__(f"no association with {peer}: {why}")


class PeerRefused(DeliveryError):
    """The peer answered with a status that is neither success nor warning."""

    def __init__(self, peer: str, what: str, status: int, *, transient: bool) -> None:
        self.peer = peer
        self.what = what
        self.status = status
        self.transient = transient
        super().__init__(f"{peer} refused {what} with status 0x{status:04X}")
