"""A change of the bank: what it would do, and how it is carried out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inference.grading.bank import Bank, CaseRecord, save_bank
from inference.grading.table import ModalityTable
from workers.bank.candidates import read_candidates, to_table
from workers.bank.folder import UNFINISHED, BankFile, BankFolder
from workers.bank.history import Event
from workers.bank.preview import Preview, TrainedGrader, preview_change


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the bank, made or only planned.

    Attributes
    ----------
    before, after : Bank
    made : BankFile or None
        The version that counts now; None of a plan.
    preview : Preview or None
        None without a trained grader.
    known : int
        Cases of an import that were there already.
    """

    before: Bank
    after: Bank
    made: BankFile | None = None
    preview: Preview | None = None
    known: int = 0


def plan_change(
    folder: BankFolder,
    before: Bank,
    records: Sequence[CaseRecord],
    rows: ModalityTable,
    grader: TrainedGrader | None,
    *,
    known: int = 0,
) -> Change:
    """What it would do to have more cases, inside `BankFolder.held`; `grader` may be absent."""
    after = before.with_cases(records, rows, next_name(folder))
    preview = None
    if grader is not None:
        cases = {record.case_id for record in before.records}
        prefix = folder.prefix()
        waiting = [
            one
            for one in read_candidates(folder.candidates_dir)
            if one.withdrawn is None and one.case_id not in cases
        ]
        asked = to_table(waiting, before.table.names)
        # As they would stand in the bank, so that nobody is graded beside himself.
        named = np.array([f"{prefix}-{one.patient}" for one in waiting], dtype=np.str_)
        asked = ModalityTable(
            features=asked.features, names=asked.names, patients=named, nodules=asked.nodules,
            rating=asked.rating,
        )  # fmt: skip
        preview = preview_change(before, after, asked, grader)
    return Change(before=before, after=after, preview=preview, known=known)


def carry_out(folder: BankFolder, plan: Change, current: BankFile, event: Event) -> Change:
    """Write the new bank and let it count, inside `BankFolder.held`."""
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=UNFINISHED) as place:
        path = Path(place) / "bank.safetensors"
        save_bank(plan.after, path)
        data = path.read_bytes()
    made = folder.put_version(data)
    folder.point_to(made, replace(event, parent=current.number))
    return replace(plan, made=made)


def next_name(folder: BankFolder) -> str:
    """What the next version is called in results."""
    taken = [int(path.name.split("-")[0]) for path in folder.versions_dir.glob("[0-9]*-*")]
    return f"{folder.prefix()}-v{max(taken, default=0) + 1}"


def tell_preview(plan: Change) -> dict[str, object]:
    """What the preview said, for the history."""
    if plan.preview is None:
        return {"preview": "no trained grader"}
    return {
        "compared": plan.preview.compared,
        "levels_changed": len(plan.preview.moves),
        "largest_change": round(plan.preview.largest_change, 4),
    }
