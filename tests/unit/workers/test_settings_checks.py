"""Settings are put together from several classes: none may take another's checks away."""

from __future__ import annotations

from collections import defaultdict

from pydantic import BaseModel

from workers.settings import Settings


def test_no_check_of_settings_hides_another() -> None:
    told_by: dict[str, set[str]] = defaultdict(set)
    for part in Settings.__mro__:
        if issubclass(part, BaseModel):
            checks = part.__pydantic_decorators__
            for name in {**checks.model_validators, **checks.field_validators}.keys() & vars(part):
                told_by[name].add(part.__name__)

    assert len(told_by) >= 6
    assert {name: where for name, where in told_by.items() if len(where) > 1} == {}
