"""Candidates as people look for them: where each stands, and which come from a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workers.bank.anonymous import make_digest
from workers.bank.candidates import Candidate, read_candidates
from workers.bank.current import open_bank
from workers.bank.folder import BankFolder
from workers.bank.nodule import read_nodules

State = Literal["needs an answer", "needs a second person", "in the bank", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A candidate and where it stands.

    Attributes
    ----------
    candidate : Candidate
    state : str
    nodule : int, optional
        Its number in the findings that were asked about.
    """

    candidate: Candidate
    state: State
    nodule: int | None = None


def list_candidates(folder: BankFolder, findings: Path | None = None) -> tuple[Listed, ...]:
    """All candidates, or those of one study.

    Parameters
    ----------
    findings : Path, optional
        ``findings.json`` of the study. The folder knows its nodules by digests only.

    Raises
    ------
    BankRefused
        If the bank or a candidate is damaged.
    BankChangeRefused
        If the findings are none.
    """
    cases = {record.case_id for record in open_bank(folder.need_current()).records}
    numbers: dict[str, int] | None = None
    if findings is not None:
        salt = folder.salt()
        numbers = {
            make_digest(salt, "nodule", str(nodule["tracking_uid"])): number
            for number, nodule in read_nodules(findings).items()
        }
    return tuple(
        Listed(
            candidate=one,
            state=_state(one, cases),
            nodule=None if numbers is None else numbers[one.origin],
        )
        for one in read_candidates(folder.candidates_dir)
        if numbers is None or one.origin in numbers
    )


def _state(candidate: Candidate, cases: set[str]) -> State:
    if candidate.case_id in cases:
        return "in the bank"
    if candidate.withdrawn is not None:
        return "withdrawn"
    return "needs an answer" if candidate.answer is None else "needs a second person"
