"""Settings are put together from several classes: none may take another's checks away."""

from __future__ import annotations

from collections import defaultdict

import pytest
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


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"tls_port": 2762}, "tls_port needs"),
        ({"tls_certificate_file": "a.pem"}, "go together"),
        (
            {"tls_port": 2762, "tls_certificate_file": "a.pem", "tls_key_file": "b.pem"},
            "needs tls_ca_file",
        ),
        ({"dicom_plain": False}, "nobody could call"),
    ],
)
def test_settings_that_would_leave_a_hole_are_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Settings(**values)  # type: ignore[arg-type]
