"""The error tree of `workers`; those of users, tokens and consoles stand in `access_errors`.

::

    WorkersError
    ├── IllegalTransition    a job cannot go from its state to the one asked for
    ├── LeaseLost            another worker, or an administrator, took the job meanwhile
    ├── NoSuchJob            no job has that number or UID
    ├── NoResult             a job has no result to look at
    ├── IdentityConflict     patient or study of what is sent is not that of what was received
    ├── NoSuchDestination    a delivery's destination is not configured any more
    ├── NoBroker             a role was started alone without being told where the broker is
    ├── FolderInUse          another process holds the same data folder
    ├── BackupRefused        a backup cannot be made, read, or put in this place
    ├── RestoreIncomplete    a restore into this data folder was cut off
    ├── DiskLow              the spool's disk comes near the reserve under which nothing is accepted
    ├── BrokerUnavailable    the broker did not take a message (transient)
    ├── StoreUnavailable     the object store did not answer (transient)
    ├── ObjectMissing        the object store does not hold a key (transient)
    ├── ObjectChanged        an object in the store is not what was kept there
    ├── NotificationFailed   a message about alarms was not taken (transient)
    ├── DatasetRefused       an annotated data set cannot be used as it is
    ├── AnswerRefused        an answer to a nodule does not hold together, or names none
    ├── BankChangeRefused    a change to the typical-case bank may not be made
    ├── BankInUse            another command changes the same typical-case bank
    ├── Hl7Refused           an HL7 message is not accepted; its sender hears why
    ├── MessageNotKept       an HL7 message or FHIR resource cannot be made durable (transient)
    ├── ContextRefused       a FHIR file, or a change to patients' context, cannot be taken
    ├── FhirUnavailable      the FHIR server did not answer as it should (transient)
    ├── ResultNotTold        a result was not taken as an HL7 message
    ├── FontMissing          no font here has the letters of a report's language
    ├── ServiceNotStarted    the service of a demonstration or benchmark ended, or says nothing
    └── BenchmarkFailed      a measured process ended with an error
"""

from __future__ import annotations

from pathlib import Path


class WorkersError(Exception):
    """Base of all errors that `workers` raises on purpose."""

    transient: bool = False


class IllegalTransition(WorkersError):
    """A job cannot go from its state to the one asked for."""

    def __init__(self, job_id: int, found: str, wanted: str) -> None:
        self.job_id = job_id
        self.found = found
        self.wanted = wanted
        super().__init__(f"job {job_id} is {found} and cannot become {wanted}")


class LeaseLost(WorkersError):
    """Another worker, or an administrator, took the job meanwhile; nothing may be written."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"the lease on {what} is lost; this attempt's work is discarded")


class NoSuchJob(WorkersError):
    """No job has that number or UID."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"no job {wanted}: 'pulmonode jobs list' shows what there is")


class NoResult(WorkersError):
    """A job has nothing that could be looked at."""

    def __init__(self, job_id: int, state: str) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"job {job_id} is {state} and has no result of an analysis to look at")


class IdentityConflict(WorkersError):
    """Patient or study of what is about to be sent is not that of what was received."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"not sent: {why}")


class NoSuchDestination(WorkersError):
    """A delivery's destination is not configured any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"destination {name} is not configured any more: configure it and retry, or cancel"
        )


class NoBroker(WorkersError):
    """A role was started alone without being told where the broker is."""

    def __init__(self) -> None:
        super().__init__(
            "no broker: set PULMONODE_BROKER_URL to a Redis or Valkey, or use 'pulmonode up'"
        )


class FolderInUse(WorkersError):
    """Another process that must be alone holds the same data folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} is in use by another 'pulmonode up', 'node' or 'reindex': stop it first"
        )


class BackupRefused(WorkersError):
    """A backup cannot be made, read, or put in this place.

    Attributes
    ----------
    where : str
        Backup, file or program.
    why : str
        What is wrong.
    remedy : str
        What to do.
    """

    def __init__(self, where: str, why: str, remedy: str) -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(f"{where}: {why}; {remedy}")


class RestoreIncomplete(WorkersError):
    """A restore into this data folder was cut off; nothing may start before it is ended."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(
            f"a restore into {folder} was cut off: run the same 'pulmonode restore' again"
        )


class DiskLow(WorkersError):
    """The spool's disk comes near the reserve under which nothing is accepted."""

    transient = True

    def __init__(self, free_bytes: int, reserve_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.reserve_bytes = reserve_bytes
        super().__init__(
            f"{free_bytes / 1e9:.1f} GB are free, under {reserve_bytes / 1e9:.1f} GB nothing is "
            "accepted: 'pulmonode storage' says what is kept"
        )


class BrokerUnavailable(WorkersError):
    """The broker did not take a message."""

    transient = True

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the broker does not answer: {why}")


class StoreUnavailable(WorkersError):
    """The object store did not answer, or refused."""

    transient = True

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"object store, {where}: {why}")


class ObjectMissing(WorkersError):
    """The object store does not hold what was asked for."""

    transient = True

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(f"{where} is not in the object store")


class ObjectChanged(WorkersError):
    """An object in the store is not what was kept there."""

    def __init__(self, where: str, sha256: str) -> None:
        self.where = where
        self.sha256 = sha256
        super().__init__(f"{where} has changed in the object store: SHA-256 is not {sha256}")


class NotificationFailed(WorkersError):
    """A message about alarms was not taken."""

    transient = True

    def __init__(self, channel: str, why: str) -> None:
        self.channel = channel
        self.why = why
        super().__init__(f"{channel}: {why}")


class DatasetRefused(WorkersError):
    """An annotated data set, or a file of it, cannot be used as it is.

    Attributes
    ----------
    where : str
        File or folder.
    why : str
        What is wrong.
    remedy : str
        What to do.
    """

    def __init__(self, where: str, why: str, remedy: str) -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(f"{where}: {why}; {remedy}")


class AnswerRefused(WorkersError):
    """An answer to a nodule does not hold together, or there is no such nodule."""

    def __init__(self, where: str, why: str, remedy: str) -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(f"{where}: {why}; {remedy}")


class BankChangeRefused(WorkersError):
    """A change to the typical-case bank may not be made.

    Attributes
    ----------
    where : str
        Candidate, case, option or file.
    why : str
        What is wrong.
    remedy : str
        What to do.
    """

    def __init__(self, where: str, why: str, remedy: str) -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(f"{where}: {why}; {remedy}")


class BankInUse(WorkersError):
    """Another command changes the same typical-case bank at this moment."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(f"{folder} is being changed by another command: try again when it is done")


class ServiceNotStarted(WorkersError):
    """The service of a demonstration or benchmark ended, or does not answer.

    Attributes
    ----------
    log_file : Path
        What it wrote.
    """

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file
        super().__init__(f"the service did not start: see {log_file}")


class Hl7Refused(WorkersError):
    """An HL7 message is not accepted.

    Attributes
    ----------
    code : str
        AE or AR (HL7 table 0008).
    error_code : int
        HL7 table 0357.
    why : str
        For the sender; never anything that the message says of its patient.
    location : str
        ERR-2, such as ``PID^1^3``; may be empty.
    """

    def __init__(self, code: str, error_code: int, why: str, location: str) -> None:
        self.code = code
        self.error_code = error_code
        self.why = why
        self.location = location
        super().__init__(f"{code} {error_code}: {why}")


class MessageNotKept(WorkersError):
    """A message or resource cannot be made durable."""

    transient = True

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"not kept: {why}")


class ContextRefused(WorkersError):
    """A FHIR file, or a change to what is known of patients, cannot be taken.

    Attributes
    ----------
    where : str
        File, resource or option; no patient data.
    why : str
        What is wrong.
    remedy : str
        What to do.
    """

    def __init__(self, where: str, why: str, remedy: str) -> None:
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(f"{where}: {why}; {remedy}")


class FhirUnavailable(WorkersError):
    """The FHIR server did not answer, or not as it should."""

    transient = True

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"FHIR server: {why}")


class ResultNotTold(WorkersError):
    """A result was not taken as a message; `transient` where the same message may be later.

    `why` repeats nothing that a receiver says in free text: it may name the patient.
    """

    def __init__(self, why: str, *, transient: bool = False) -> None:
        self.why = why
        self.transient = transient
        super().__init__(why)


class BenchmarkFailed(WorkersError):
    """A measured process ended with an error.

    Attributes
    ----------
    what : str
        Which one.
    said : list of str
        The end of what it wrote to standard error.
    """

    def __init__(self, what: str, said: list[str]) -> None:
        self.what = what
        self.said = said
        super().__init__(f"{what} failed: {'; '.join(said)}")


class FontMissing(WorkersError):
    """No font on this machine has the letters of a language, or a font file is unusable."""
