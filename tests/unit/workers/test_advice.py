"""Every reason that a job can have is explained in plain words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.resources import files

import pytest
import yaml

from dicom_node.errors import PeerRefused, PeerUnreachable
from tests.conftest import REPOSITORY
from workers.advice import (
    BY_CODE,
    BY_STATE,
    HL7_AWAY,
    HL7_LATER,
    HL7_REFUSED,
    NOT_TAKEN,
    OUT_OF_RESOURCES,
    UNREACHABLE,
    advise,
    advise_delivery,
)
from workers.errors import ResultNotTold
from workers.outbound.acknowledged import check_acknowledged
from workers.state.schema import JobState

FOLDERS = ("dicom_node/read", "inference", "workers/usecases")
GIVERS = {"SeriesRejected", "NotAnalysable", "hold_job", "hold_study", "keep_aside"}


def codes_in_code() -> Iterator[str]:
    """Constants that are given as a reason: ``code=`` and ``reason_code=``, also by their name."""
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            named = {
                target.id: node.value.value
                for node in tree.body
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for call in ast.walk(tree):
                if isinstance(call, ast.Call):
                    yield from codes_of_call(call, named)


def codes_of_call(call: ast.Call, named: dict[str, object]) -> Iterator[str]:
    given = [word.value for word in call.keywords if word.arg in {"code", "reason_code"}]
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in GIVERS:
        given += call.args[: 3 if name in {"hold_job", "keep_aside"} else 1]
        if name == "keep_aside":
            given += call.args[3:4]
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
            yield value.value
        elif isinstance(value, ast.Name) and value.id.isupper() and value.id in named:
            yield str(named[value.id])


def test_every_code_that_the_code_gives_is_explained() -> None:
    given = set(codes_in_code())

    assert {"missing_slices", "cancelled", "no_lungs", "truncated", "fewer_than_pacs"} <= given
    assert sorted(given - set(BY_CODE)) == []


def test_every_packaged_rule_is_explained() -> None:
    rules = yaml.safe_load((files("dicom_node.read") / "rules.yaml").read_text())["rules"]

    assert sorted({rule["id"] for rule in rules} - set(BY_CODE)) == []


def test_every_state_is_explained_where_the_code_is_a_site_own_rule() -> None:
    assert set(BY_STATE) == set(JobState)
    assert advise("not_eligible", "our_own_rule") is BY_STATE[JobState.NOT_ELIGIBLE]


def refused_by_ris(code: str, about: str = "1") -> ResultNotTold:
    """What is said of an acknowledgement."""
    with pytest.raises(ResultNotTold) as refused:
        check_acknowledged(f"MSH|^~\\&|RIS\rMSA|{code}|{about}\r".encode(), "1")
    return refused.value


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (PeerUnreachable("PACS@host:104", "connection refused"), UNREACHABLE),
        (PeerRefused("PACS", "1.2.3", 0xA700, transient=True), OUT_OF_RESOURCES),
        (PeerRefused("PACS", "1.2.3", 0x0122, transient=False), NOT_TAKEN),
        (refused_by_ris("AE"), HL7_REFUSED),
        (refused_by_ris("AR"), HL7_LATER),
        (refused_by_ris("AA", about="another"), HL7_AWAY),
        (ResultNotTold("HL7 receiver ris port 1: connecting timed out", transient=True), HL7_AWAY),
    ],
)
def test_what_a_destination_answered_is_explained(error: Exception, wanted: object) -> None:
    said = f"attempt 1 failed, next in 5 s: {error}"

    assert advise_delivery("queued", said) is wanted
