from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from inference.errors import BankRefused
from inference.grading.bank import Bank, make_bank
from inference.grading.calibration import Calibrator
from tests.unit.workers.bank.cases import (
    make_small_bank,
    make_untrained_grader,
    write_bank,
    write_study,
)
from workers.bank.admit import add_candidate, record_answer
from workers.bank.answers import Told
from workers.bank.candidates import Candidate
from workers.bank.changes import begin, import_bank, promote, remove, roll_back
from workers.bank.current import find_current_bank, load_current_bank, open_bank
from workers.bank.folder import BankFolder
from workers.bank.listing import list_candidates
from workers.bank.nodule import read_nodule
from workers.bank.plan import Change
from workers.bank.preview import Preview
from workers.errors import BankChangeRefused
from workers.settings import Settings

Add = Callable[..., Candidate]
HISTOLOGY = Told(outcome="malignant", evidence="histology", on=date(2024, 5, 3))


def current_bank(folder: BankFolder) -> Bank:
    return open_bank(folder.need_current())


def test_a_candidate_becomes_a_case_by_its_outcome_and_a_second_person(
    folder: BankFolder, add: Add
) -> None:
    first = folder.need_current()
    added = add(told=None)
    waiting = list_candidates(folder)[0].state
    record_answer(folder, added.case_id, HISTOLOGY, by="Dr. One")
    answered = list_candidates(folder)[0].state
    planned = promote(folder, added.case_id, by="Dr. Two", grader=None, really=False)
    untouched = folder.need_current()
    made = promote(folder, added.case_id, by="Dr. Two", grader=None, really=True)
    settings = Settings(bank_dir=folder.path)
    bank = load_current_bank(settings)
    record = bank.records[-1]

    assert (waiting, answered) == ("needs an answer", "needs a second person")
    assert list_candidates(folder)[0].state == "in the bank"
    assert (planned.made, untouched) == (None, first)
    assert made.made == find_current_bank(settings)
    assert (len(bank), bank.version) == (25, "KGH-v2")
    assert (record.case_id, record.rating, record.evidence, record.level) == (
        "KGH-0001", 5.0, "confirmed", "IV",
    )  # fmt: skip
    assert [event.what for event in folder.events()] == ["init", "add", "outcome", "promote"]
    assert (folder.events()[-1].parent, folder.events()[-1].version) == (1, 2)


def test_the_features_of_a_case_are_those_of_the_nodule(
    folder: BankFolder, add: Add, tmp_path: Path
) -> None:
    add(nodule=1)
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    findings, features = write_study(tmp_path / "again")
    wanted = read_nodule(findings, 1, features).row
    table = current_bank(folder).table

    for name in table.modalities:
        np.testing.assert_array_equal(table.features[name][-1], wanted.features[name][0])


@pytest.mark.parametrize("name", ["Dr. One", "dr  ONE", "Dr.One"])
def test_who_added_a_candidate_cannot_promote_it(folder: BankFolder, add: Add, name: str) -> None:
    add()

    with pytest.raises(BankChangeRefused, match="a second person has to promote it"):
        promote(folder, "KGH-0001", by=name, grader=None, really=True)
    assert folder.need_current().number == 1


def test_who_gave_the_answer_cannot_promote_it_either(folder: BankFolder, add: Add) -> None:
    add(told=None)
    record_answer(folder, "KGH-0001", HISTOLOGY, by="Dr. Two")

    with pytest.raises(BankChangeRefused, match=r"Dr\. Two gave its answer"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)


def test_a_candidate_without_an_answer_is_not_promoted(folder: BankFolder, add: Add) -> None:
    add(told=None)

    with pytest.raises(BankChangeRefused, match="has no answer yet"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)


def test_rollback_restores_the_same_bytes(folder: BankFolder, add: Add) -> None:
    first = folder.need_current()
    before = first.path.read_bytes()
    add()
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    back = roll_back(folder, by="Ada Admin", why="odd grades")

    assert back == folder.need_current() == first
    assert back.path.read_bytes() == before
    assert list_candidates(folder)[0].state == "needs a second person"

    forward = roll_back(folder, by="Ada Admin", why="was right", to=2)

    assert (forward.number, len(current_bank(folder))) == (2, 25)


@pytest.mark.parametrize("to", [None, 1, 7])
def test_there_is_no_way_back_to_what_never_counted(folder: BankFolder, to: int | None) -> None:
    with pytest.raises(BankChangeRefused, match="cannot go from version 1"):
        roll_back(folder, by="Ada Admin", why="to try", to=to)


def test_a_nodule_is_added_once_unless_it_was_withdrawn(folder: BankFolder, add: Add) -> None:
    add()
    with pytest.raises(BankChangeRefused, match="KGH-0001: is this nodule already"):
        add()
    withdrawn = remove(folder, "KGH-0001", by="Dr. One", why="wrong nodule")
    again = add()

    assert isinstance(withdrawn, Candidate)
    assert again.case_id == "KGH-0002"
    assert [one.state for one in list_candidates(folder)] == ["withdrawn", "needs a second person"]
    with pytest.raises(BankChangeRefused, match="was withdrawn: wrong nodule"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)


def test_a_removed_case_is_gone_and_can_come_back_only_by_a_promotion(
    folder: BankFolder, add: Add
) -> None:
    add()
    promote(folder, "KGH-0001", by="Dr. Two", grader=None, really=True)
    done = remove(folder, "KGH-0001", by="Dr. One", why="histology says otherwise")

    assert isinstance(done, Change)
    assert (len(current_bank(folder)), folder.need_current().number) == (24, 3)
    assert list_candidates(folder)[0].state == "needs a second person"
    with pytest.raises(BankChangeRefused, match="there is none of that name"):
        remove(folder, "KGH-0099", by="Dr. One", why="to try")
    with pytest.raises(BankChangeRefused, match="--why: is empty"):
        remove(folder, "B-001", by="Dr. One", why=" ")


def test_an_import_adds_new_cases_and_passes_over_those_that_are_there(
    folder: BankFolder, tmp_path: Path
) -> None:
    ours, other = make_small_bank(), make_small_bank(6, letter="X")
    both = ours.with_cases(other.records, other.table, "both")
    path = write_bank(tmp_path / "other.safetensors", both)
    planned = import_bank(folder, path, by="Ada Admin", grader=None, really=False)
    made = import_bank(folder, path, by="Ada Admin", grader=None, really=True)

    assert (planned.made, planned.known, len(planned.after)) == (None, 24, 30)
    assert made.made is not None
    assert len(current_bank(folder)) == 30
    with pytest.raises(BankChangeRefused, match="holds no case that the bank has not"):
        import_bank(folder, path, by="Ada Admin", grader=None, really=True)


def test_an_import_is_refused_when_it_does_not_fit(folder: BankFolder, tmp_path: Path) -> None:
    other = make_small_bank(6, letter="X")
    renamed = replace(other.table, names={**other.table.names, "report": ("margin",)})
    more = replace(
        other.table,
        features={**other.table.features, "pet": np.zeros((6, 1), dtype=np.float32)},
        names={**other.table.names, "pet": ("suv",)},
    )
    changed = replace(make_small_bank().records[0], rating=5.0)
    uid = replace(other.records[0], source="study 1.2.840.113619.2")
    cases = {
        "other columns of report": make_bank("x", other.records, renamed),
        "modality pet": make_bank("x", other.records, more),
        "B-000 with other values": make_bank("x", [changed], other.table.rows(np.array([0]))),
        "looks like a UID": make_bank("x", [uid], other.table.rows(np.array([0]))),
        "no answer": make_bank(
            "x", [replace(other.records[0], rating=9.0)], other.table.rows(np.array([0]))
        ),
    }
    for message, bank in cases.items():
        path = write_bank(tmp_path / "other.safetensors", bank)
        with pytest.raises((BankRefused, BankChangeRefused), match=message):
            import_bank(folder, path, by="Ada Admin", grader=None, really=True)
    (tmp_path / "other.safetensors").write_bytes(b"no bank at all")
    with pytest.raises(BankRefused, match=r"other\.safetensors cannot be read"):
        import_bank(folder, path, by="Ada Admin", grader=None, really=True)
    assert folder.need_current().number == 1


def test_the_preview_is_calibrated_as_reports_are(
    folder: BankFolder, add: Add, tmp_path: Path
) -> None:
    add()
    grader = make_untrained_grader(current_bank(folder))
    other = write_bank(
        tmp_path / "other.safetensors", make_small_bank(40, version="other", letter="C")
    )
    two = Calibrator(temperature=1e6, bias=np.array([0.0, 9.0, 0.0, 0.0]))
    known = (("roi2d",), ("report",), ("roi2d", "report"))
    surely_two = replace(grader, calibrators=dict.fromkeys(known, two))

    raw = import_bank(folder, other, by="Ada Admin", grader=grader, really=False).preview
    calibrated = import_bank(folder, other, by="Ada Admin", grader=surely_two, really=False).preview

    assert raw is not None
    assert calibrated is not None
    assert abs(raw.largest_change) > 1e-4
    assert abs(calibrated.largest_change) < 1e-6
    assert not calibrated.moves


def test_the_preview_grades_reference_nodules_with_both_banks(
    folder: BankFolder, add: Add, tmp_path: Path
) -> None:
    grader = make_untrained_grader(make_small_bank())
    other = write_bank(tmp_path / "x.safetensors", make_small_bank(40, letter="X"))
    add()
    imported = import_bank(folder, other, by="Ada Admin", grader=grader, really=False).preview
    again = import_bank(folder, other, by="Ada Admin", grader=grader, really=False).preview
    promoted = promote(folder, "KGH-0001", by="Dr. Two", grader=grader, really=True).preview

    assert imported is not None
    assert imported == again
    assert imported.compared == 25  # the bank's cases and the candidate
    assert abs(imported.largest_change) > 0
    assert promoted is not None
    assert abs(promoted.largest_change) < abs(imported.largest_change)
    assert folder.events()[-1].facts["compared"] == 25


def test_a_candidate_is_not_graded_beside_itself(tmp_path: Path) -> None:
    """The bank is one patient's, so that only candidates are compared."""
    bank = make_small_bank()
    records = [replace(record, patient="one") for record in bank.records]
    source = write_bank(tmp_path / "one.safetensors", make_bank("one", records, bank.table))
    folder = BankFolder(tmp_path / "bank")
    begin(folder, source, prefix="KGH", by="Ada Admin")
    grader = make_untrained_grader(bank)

    def preview() -> Preview:
        made = promote(folder, "KGH-0001", by="Dr. Two", grader=grader, really=False).preview
        assert made is not None
        return made

    def add(patient: str, study: str) -> None:
        files = write_study(tmp_path / study, study=study, patient=patient)
        found = read_nodule(files[0], 2, files[1])
        add_candidate(folder, found, by="Dr. One", told=Told(rating=4))

    add("Muster^Erika", "1.2.3.4.5")
    alone = preview()
    add("Someone^Else", "1.2.3.4.6")
    both = preview()

    assert (alone.compared, alone.largest_change) == (1, 0.0)
    assert (both.compared, both.largest_case) == (2, "KGH-0002")
    assert both.largest_change != 0


def test_a_bank_that_does_not_fit_the_grader_is_refused_by_the_preview(
    folder: BankFolder, add: Add
) -> None:
    wide = make_small_bank()
    grader = make_untrained_grader(
        replace(wide, table=replace(wide.table, names={**wide.table.names, "report": ("margin",)}))
    )
    add()

    with pytest.raises(BankRefused, match="does not fit the trained grader"):
        promote(folder, "KGH-0001", by="Dr. Two", grader=grader, really=True)


def test_features_of_another_study_or_version_are_refused(
    folder: BankFolder, tmp_path: Path
) -> None:
    findings, features = write_study(tmp_path / "one")
    _, elsewhere = write_study(tmp_path / "two", study="1.2.3.4.5")
    with pytest.raises(BankChangeRefused, match=r"has no nodule 7; choose one of .*: 1, 2"):
        read_nodule(findings, 7, features)
    with pytest.raises(BankChangeRefused, match="has 0 rows for this nodule"):
        read_nodule(findings, 1, elsewhere)
    with pytest.raises(BankChangeRefused, match="cannot be read"):
        read_nodule(features, 1, features)
    found = read_nodule(findings, 1, features)
    other = replace(found, row=found.row.only(["report"]))
    other = replace(other, row=replace(other.row, names={"report": ("margin",)}))
    with pytest.raises(BankRefused, match="has other columns of report"):
        add_candidate(folder, other, by="Dr. One")


def test_a_bank_is_begun_once(folder: BankFolder, tmp_path: Path) -> None:
    source = tmp_path / "first.safetensors"

    assert folder.need_current().path.read_bytes() == source.read_bytes()
    with pytest.raises(BankChangeRefused, match="holds a bank already"):
        begin(folder, source, prefix="KGH", by="Ada Admin")
    with pytest.raises(BankChangeRefused, match="--prefix"):
        begin(BankFolder(tmp_path / "b"), source, prefix="a b", by="Ada Admin")


def test_without_a_folder_or_a_shipped_bank_the_worker_is_told_clearly(tmp_path: Path) -> None:
    with pytest.raises(BankRefused, match="holds no current version"):
        load_current_bank(Settings(bank_dir=tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/manifest.json").write_text('{"grader": {"file": "g", "sha256": ""}}')
    with pytest.raises(BankRefused, match="bank shipped is not there"):
        load_current_bank(Settings(weights_dir=tmp_path / "weights"))
