"""How a nodule comes near the bank: candidate, answer, withdrawal; none of it changes a grade."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from inference.errors import BankRefused
from workers.bank.anonymous import check_name, check_text, make_digest
from workers.bank.answers import Answer, Told, make_answer
from workers.bank.candidates import (
    Candidate,
    Withdrawal,
    case_number,
    check_columns,
    read_candidate,
    read_candidates,
    to_bytes,
    to_features,
)
from workers.bank.current import open_bank
from workers.bank.folder import BankFolder
from workers.bank.history import make_event, moment
from workers.bank.nodule import FoundNodule
from workers.clock import now
from workers.errors import BankChangeRefused


def add_candidate(
    folder: BankFolder, nodule: FoundNodule, *, by: str, told: Told | None = None, note: str = ""
) -> Candidate:
    """Keep a nodule as a candidate, without anything that tells who it is.

    Raises
    ------
    BankChangeRefused
        If the nodule is there already, or a text could tell who the patient is.
    BankRefused
        If the features are not those of the bank.
    BankInUse
        If another command changes the bank.
    """
    by = check_name(by, nodule.identifiers)
    note = check_text(note, "--note", nodule.identifiers)
    folder.need_current()
    with folder.held():
        bank = open_bank(folder.need_current())
        check_columns("the nodule's features", nodule.row.names, bank.table.names)
        salt = folder.salt()
        origin = make_digest(salt, "nodule", nodule.tracking_uid)
        known = read_candidates(folder.candidates_dir)
        for one in known:
            if one.origin == origin and one.withdrawn is None:
                raise BankChangeRefused(
                    f"candidate {one.case_id}", "is this nodule already", "add it once"
                )
        number = max((case_number(one.case_id) for one in known), default=0) + 1
        case_id = f"{folder.prefix()}-{number:04d}"
        if any(record.case_id == case_id for record in bank.records):
            raise BankRefused(
                bank.version,
                f"holds case {case_id} of another folder: this site's prefix is not its own",
            )
        made = Candidate(
            case_id=case_id,
            patient=make_digest(salt, "patient", nodule.patient),
            origin=origin,
            features=to_features(nodule.row),
            about=nodule.about,
            added_by=by,
            added_at=moment(),
            note=note,
            answer=_answer(told, by=by) if told is not None and not told.is_empty else None,
        )
        _write(folder, made, "add", by, note, made.answer)
    return made


def record_answer(
    folder: BankFolder, case_id: str, told: Told, *, by: str, why: str = ""
) -> Candidate:
    """Note the answer to a candidate; an earlier one stays in the history.

    Raises
    ------
    BankChangeRefused
        If the answer does not hold together, or the candidate is a case already, withdrawn or
        unknown.
    BankInUse
        If another command changes the bank.
    """
    by, why = check_name(by), check_text(why, "--note")
    folder.need_current()
    with folder.held():
        candidate = find_waiting(folder, case_id)
        changed = replace(candidate, answer=_answer(told, by=by))
        _write(folder, changed, "outcome", by, why, changed.answer)
    return changed


def withdraw(folder: BankFolder, case_id: str, *, by: str, why: str) -> Candidate:
    """Take a candidate back, inside `BankFolder.held`; its file stays, for those who ask later."""
    candidate = find_waiting(folder, case_id)
    changed = replace(candidate, withdrawn=Withdrawal(by=by, at=moment(), why=why))
    _write(folder, changed, "withdraw", by, why, None)
    return changed


def find_waiting(folder: BankFolder, case_id: str) -> Candidate:
    """A candidate that is not withdrawn and no case of the current bank.

    Raises
    ------
    BankChangeRefused
        If it is not so.
    """
    known = {one.stem: one for one in folder.candidates_dir.glob("*.json")}
    look = "'pulmonode bank list --candidates' shows what there is"
    if case_id not in known:
        raise BankChangeRefused(f"candidate {case_id}", "there is none of that name", look)
    found = read_candidate(known[case_id])
    if found.withdrawn is not None:
        raise BankChangeRefused(
            f"candidate {case_id}", f"was withdrawn: {found.withdrawn.why}", look
        )
    bank = open_bank(folder.need_current())
    if any(record.case_id == case_id for record in bank.records):
        raise BankChangeRefused(
            f"candidate {case_id}", "is a case of the bank now", "remove it from the bank first"
        )
    return found


def _answer(told: Told, *, by: str) -> Answer:
    today = datetime.fromtimestamp(now(), UTC).astimezone().date()
    return make_answer(told, by=by, at=moment(), today=today)


def _write(
    folder: BankFolder, candidate: Candidate, what: str, by: str, why: str, answer: Answer | None
) -> None:
    facts = {}
    if answer is not None:
        facts = {"rating": answer.rating, "basis": answer.basis, "year": answer.year}
    event = make_event(what, by, cases=(candidate.case_id,), why=why, facts=facts)
    folder.change(f"candidates/{candidate.case_id}.json", to_bytes(candidate), event)
