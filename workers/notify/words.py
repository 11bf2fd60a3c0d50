"""What each alarm means and what to do about it, in words that are always the same.

Messages that leave the house are made of these, of codes and of subjects alone: the words of an
alarm itself may repeat what a peer said, and nobody knows what that is.
"""

from __future__ import annotations

from workers.state import alarms

WORDS: dict[str, tuple[str, str]] = {
    alarms.JOB_STOPPED: (
        "a job failed or is quarantined, and needs a person",
        "pulmonode jobs show NUMBER says why; then retry, force or cancel it",
    ),
    alarms.DESTINATION_SILENT: (
        "a destination has taken no result for a while; results wait",
        "pulmonode doctor sends it a C-ECHO; then look at the PACS and the wire to it",
    ),
    alarms.NOT_CONFIRMED: (
        "a destination denies, or will not prove, that it keeps a result",
        "pulmonode jobs show NUMBER has the history; then look at the PACS's archive",
    ),
    alarms.NOBODY_WORKS: (
        "due work waits and no worker takes it",
        "start a worker for the queue, or find out why it does not work",
    ),
    alarms.DATABASE_EMPTY: (
        "the database knows no job, though the object store holds instances: it was lost",
        "stop the node and run pulmonode reindex",
    ),
    alarms.DATABASE_UNREACHABLE: (
        "the state database does not answer; instances are received all the same",
        "bring the database back; nothing has to be repaired afterwards",
    ),
    alarms.BROKER_UNREACHABLE: (
        "the broker does not take messages",
        "bring the broker back; nothing in it is needed",
    ),
    alarms.STORE_UNREACHABLE: (
        "the object store does not answer",
        "bring it back; instances wait in the inbox",
    ),
    alarms.DISK_LOW: (
        "the spool's disk comes near its reserve",
        "make room, or keep results for less long, before anything is refused",
    ),
    alarms.SPOOL_REFUSES: (
        "instances are refused: the spool's disk is full or cannot be written",
        "make room or mend the disk; the senders keep their instances",
    ),
    alarms.NODE_LOOP_FAILS: (
        "a part of the node's work fails again and again",
        "look at the node's log",
    ),
    alarms.CONTEXT_HELD: (
        "HL7 messages or FHIR resources cannot be used as they are",
        "pulmonode context held says why; mend the settings, then pulmonode context retry",
    ),
    alarms.CONTEXT_CONFLICT: (
        "clinical context was held back: it may be of another patient than the CT",
        "pulmonode context show ID; unmerge, or confirm once somebody has looked",
    ),
}
UNKNOWN = ("something needs a person", "pulmonode alarms says what")
