"""The table of looked up codes is that of the codes in use."""

from __future__ import annotations

import re

import yaml

from tests.conftest import REPOSITORY
from workers.context.diagnoses import SNOMED_LUNG
from workers.context.items import Code, load_items
from workers.context.quantities import read_flag

SMOKING = yaml.safe_load((REPOSITORY / "workers/context/items.yaml").read_text())["smoking"]


def looked_up() -> dict[str, str]:
    """Code -> what it is used for, by docs/context_codes.md."""
    text = (REPOSITORY / "docs/context_codes.md").read_text()
    return dict(re.findall(r"^\| ([A-Z0-9-]+) \| ([^|]+) \|", text, re.MULTILINE))


def test_every_code_in_use_was_looked_up_for_its_item_and_no_other_is_listed() -> None:
    table = load_items(None, ())
    used = {
        code: name for name, item in table.items.items() for code in (*item.loinc, *item.snomed)
    }
    told = looked_up()

    assert {code for code, name in used.items() if f"`{name}`" not in told.get(code, "")} == set()
    answers = {code: read_flag(code) for code in told if read_flag(code) is not None}
    smoking = {code for code in told if told[code] in ("never smoked", "ever smoked")}
    assert set(told) == set(used) | smoking | set(answers)
    assert smoking == set(SMOKING)
    for code in smoking:
        assert table.ever_smoked(Code(code=code)) is (told[code] == "ever smoked"), code
    assert {told[code] == "yes" for code in answers if answers[code]} == {True}
    assert {code for code in told if "of the lung" in told[code]} == SNOMED_LUNG
