"""Named points in the durable path at which a test can break things.

In production `reach` calls nothing. The fault tests install a hook that kills the process,
raises an error of the operating system, or waits while the test breaks a peer, and that
records that the point was reached; so a fault test proves that it hit what it names.

Deliberately absent: any setting, file or environment variable that would switch this on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Barrier(enum.StrEnum):
    """Where a fault may strike, in the order of a study's way through the system."""

    SPOOL_FSYNC = "spool_fsync"
    """The instance is written, but not yet forced to disk."""
    SPOOL_DURABLE = "spool_durable"
    """The instance is durable; its sender has not heard Success yet."""
    INDEX_BEFORE_COMMIT = "index_before_commit"
    """Success was answered; the rows are not committed."""
    INDEX_COMMITTED = "index_committed"
    """The rows are committed; the files still stand in the inbox."""
    STORE_KEPT = "store_kept"
    """The files stand in the object store; the rows do not say so yet."""
    QUEUE_BEFORE_COMMIT = "queue_before_commit"
    """The series was judged complete; not committed."""
    HINT_BEFORE_SEND = "hint_before_send"
    """The job is queued; no worker was told."""
    ANALYSE_TAKEN = "analyse_taken"
    """A worker holds the lease and has read nothing."""
    ANALYSE_COMPOSED = "analyse_composed"
    """SR and SEG are composed, in memory only."""
    ANALYSE_BEFORE_COMMIT = "analyse_before_commit"
    """The final bytes stand in the object store; the result is not committed."""
    ANALYSE_COMMITTED = "analyse_committed"
    """The result is committed; nobody was told to deliver it."""
    DELIVER_TAKEN = "deliver_taken"
    """A worker holds the delivery; no association is open."""
    DELIVER_BETWEEN_OBJECTS = "deliver_between_objects"
    """The peer acknowledged one object; at least one is still to come."""
    DELIVER_ACKNOWLEDGED = "deliver_acknowledged"
    """The peer acknowledged every object; that is not written down."""
    COMMITMENT_REGISTERED = "commitment_registered"
    """The Transaction UID is written down; the N-ACTION is not sent."""
    DELIVER_BEFORE_COMMIT = "deliver_before_commit"
    """Everything was sent; the delivery's outcome is not committed."""
    COMMITMENT_BEFORE_COMMIT = "commitment_before_commit"
    """The peer reported; its report is not committed."""
    REMOVAL_BEGUN = "removal_begun"
    """The rows let objects go; these still stand in the object store."""
    REMOVAL_DELETED = "removal_deleted"
    """The objects are gone; the history does not say so yet."""
    CONTEXT_DURABLE = "context_durable"
    """An HL7 message or FHIR resource is durable; its sender has not heard AA yet."""
    CONTEXT_BEFORE_COMMIT = "context_before_commit"
    """AA was answered; what the message says is not committed."""
    CONTEXT_COMMITTED = "context_committed"
    """What the message says is committed; its file still stands in the inbox."""


Hook = Callable[[Barrier], None]
_hook: Hook | None = None


def install(hook: Hook | None) -> None:
    """Let `hook` be called at every barrier (tests only); `None` takes it away."""
    global _hook
    _hook = hook


def reach(barrier: Barrier) -> None:
    """Pass a barrier; whatever the hook raises is raised here."""
    if _hook is not None:
        _hook(barrier)
