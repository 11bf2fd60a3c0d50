"""What changes the bank itself: begin, promote, import, remove, roll back. Each makes a version.

A promotion or import is a plan first: made without `really`, it only tells what would change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inference.errors import BankRefused
from inference.grading.bank import Bank
from workers.bank.admit import find_waiting, withdraw
from workers.bank.anonymous import (
    LOOKS_LIKE_DICOM_NAME,
    LOOKS_LIKE_UID,
    check_name,
    check_text,
    person_key,
)
from workers.bank.candidates import Candidate, check_columns, to_table
from workers.bank.current import open_bank, read_bank
from workers.bank.folder import BankFile, BankFolder
from workers.bank.history import make_event
from workers.bank.plan import Change, carry_out, next_name, plan_change, tell_preview
from workers.bank.preview import TrainedGrader
from workers.errors import BankChangeRefused


def begin(
    folder: BankFolder, source: Path, *, prefix: str, by: str, sha256: str | None = None
) -> BankFile:
    """Make version 1, byte for byte the bank in `source`.

    Raises
    ------
    BankRefused
        If `source` is no bank.
    BankChangeRefused
        If there is a bank already, or the prefix will not do.
    """
    by = check_name(by)
    bank = read_bank(source, sha256=sha256)
    check_foreign(bank, str(source))
    with folder.held():
        if folder.current() is not None:
            raise BankChangeRefused(
                str(folder.path), "holds a bank already", "'pulmonode bank import' adds to it"
            )
        folder.begin_site(prefix)
        made = folder.put_version(source.read_bytes())
        folder.point_to(made, make_event("init", by, why=f"copy of bank {bank.version}"))
    return made


def promote(
    folder: BankFolder, case_id: str, *, by: str, grader: TrainedGrader | None, really: bool
) -> Change:
    """Make a candidate a case, by a second person.

    Raises
    ------
    BankChangeRefused
        If it has no answer, or who promotes also added it or gave the answer.
    BankRefused
        If a file is damaged, or the columns are others than the bank's.
    BankInUse
        If another command changes the bank.
    """
    by = check_name(by)
    folder.need_current()
    with folder.held():
        current = folder.need_current()
        candidate = find_waiting(folder, case_id)
        _check_second_person(candidate, by)
        before = open_bank(current)
        row = to_table([candidate], before.table.names)
        record = candidate.record(folder.prefix())
        plan = plan_change(folder, before, [record], row, grader)
        if not really:
            return plan
        event = make_event("promote", by, cases=(case_id,), facts=tell_preview(plan))
        return carry_out(folder, plan, current, event)


def import_bank(
    folder: BankFolder, source: Path, *, by: str, grader: TrainedGrader | None, really: bool
) -> Change:
    """Add another bank's cases; those that are there with equal values are passed over.

    Raises
    ------
    BankRefused
        If the file is no bank, has other columns, or holds a case of ours with other values.
    BankChangeRefused
        If nothing in it is new, or its texts could tell who a patient is.
    BankInUse
        If another command changes the bank.
    """
    by = check_name(by)
    folder.need_current()
    other = read_bank(source)
    check_foreign(other, str(source))
    with folder.held():
        current = folder.need_current()
        before = open_bank(current)
        check_columns(str(source), other.table.names, before.table.names)
        if other.encoder != before.encoder:
            raise BankRefused(str(source), "was described by another encoder than the bank")
        new = _new_rows(before, other, str(source))
        if not new:
            raise BankChangeRefused(
                str(source), "holds no case that the bank has not", "nothing is to be done"
            )
        records = [other.records[row] for row in new]
        rows = other.table.rows(np.array(new, dtype=np.int64))
        plan = plan_change(folder, before, records, rows, grader, known=len(other) - len(new))
        if not really:
            return plan
        cases = tuple(record.case_id for record in records)
        event = make_event(
            "import", by, cases=cases, why=f"from bank {other.version}", facts=tell_preview(plan)
        )
        return carry_out(folder, plan, current, event)


def remove(folder: BankFolder, case_id: str, *, by: str, why: str) -> Change | Candidate:
    """Take a case out of the bank, or a candidate back.

    Raises
    ------
    BankChangeRefused
        If neither is there, or no reason is given.
    BankRefused
        If the bank would be empty.
    BankInUse
        If another command changes the bank.
    """
    by, why = check_name(by), _check_why(why)
    folder.need_current()
    with folder.held():
        current = folder.need_current()
        before = open_bank(current)
        if all(record.case_id != case_id for record in before.records):
            return withdraw(folder, case_id, by=by, why=why)
        after = before.without_cases([case_id], next_name(folder))
        plan = Change(before=before, after=after)
        return carry_out(folder, plan, current, make_event("remove", by, cases=(case_id,), why=why))


def roll_back(folder: BankFolder, *, by: str, why: str, to: int | None = None) -> BankFile:
    """Let an earlier version count again; by default the one that the current was made from.

    Raises
    ------
    BankChangeRefused
        If there is no such version, or no reason is given.
    BankRefused
        If its file is missing or damaged.
    BankInUse
        If another command changes the bank.
    """
    by, why = check_name(by), _check_why(why)
    folder.need_current()
    with folder.held():
        current = folder.need_current()
        versions = folder.versions()
        wanted = to if to is not None else _parent(folder, current.number)
        there = ", ".join(str(number) for number in sorted(versions))
        if wanted is None or wanted not in versions or wanted == current.number:
            asked = "an earlier version" if wanted is None else f"version {wanted}"
            raise BankChangeRefused(
                str(folder.path),
                f"cannot go from version {current.number} to {asked}",
                f"name another one of {there}",
            )
        open_bank(versions[wanted])
        event = make_event("rollback", by, why=why, parent=current.number)
        folder.point_to(versions[wanted], event)
    return versions[wanted]


def check_foreign(bank: Bank, where: str) -> None:
    """Refuse a bank from elsewhere whose answers are none, or that could tell who a patient is.

    Raises
    ------
    BankRefused
        If a rating or its evidence is not one.
    BankChangeRefused
        If a text could tell who a patient is.
    """
    if LOOKS_LIKE_UID.search(bank.version) or LOOKS_LIKE_DICOM_NAME.search(bank.version):
        raise BankRefused(where, "has a version that looks like a UID or a DICOM name")
    for record in bank.records:
        if record.evidence not in ("reader-rated", "confirmed") or not 1 <= record.rating <= 5:
            raise BankRefused(
                where, f"has a case with rating {record.rating} ({record.evidence}), no answer"
            )
        for text in (record.case_id, record.patient, record.source):
            # Not long numbers: digests are full of them.
            if not text or LOOKS_LIKE_UID.search(text) or LOOKS_LIKE_DICOM_NAME.search(text):
                raise BankChangeRefused(
                    f"{where}, case {record.case_id}",
                    "an identifier is empty, or looks like a UID or a DICOM name",
                    "have it made anonymous where it comes from",
                )


def _check_second_person(candidate: Candidate, by: str) -> None:
    where = f"candidate {candidate.case_id}"
    if candidate.answer is None:
        raise BankChangeRefused(
            where, "has no answer yet", "'pulmonode bank outcome' records a rating or an outcome"
        )
    for name, did in ((candidate.added_by, "added it"), (candidate.answer.by, "gave its answer")):
        if person_key(name) == person_key(by):
            raise BankChangeRefused(where, f"{by} {did}", "a second person has to promote it")


def _check_why(why: str) -> str:
    why = check_text(why, "--why")
    if not why:
        raise BankChangeRefused("--why", "is empty", "say why, for those who read the history")
    return why


def _new_rows(before: Bank, other: Bank, where: str) -> list[int]:
    """Rows of cases that are not ours; refuses a case of ours with other values."""
    place = {record.case_id: row for row, record in enumerate(before.records)}
    new = []
    for row, record in enumerate(other.records):
        ours = place.get(record.case_id)
        if ours is None:
            new.append(row)
        elif before.records[ours] != record or not _same_features(before, ours, other, row):
            raise BankRefused(
                where, f"holds case {record.case_id} with other values than the site's bank"
            )
    return new


def _same_features(before: Bank, ours: int, other: Bank, row: int) -> bool:
    for name, values in before.table.features.items():
        absent = np.full(values.shape[1], np.nan, dtype=np.float32)
        theirs = other.table.features[name][row] if name in other.table.features else absent
        if not np.array_equal(values[ours], theirs, equal_nan=True):
            return False
    return True


def _parent(folder: BankFolder, number: int) -> int | None:
    for event in folder.finished_events():
        if event.version == number and event.what != "rollback":
            return event.parent
    return None
