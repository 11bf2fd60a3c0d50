"""``findings.json`` against its schema, and its order against the contract."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from inference.findings import CaseFindings
from inference.findings_json import findings_to_dict, not_eligible_to_dict
from inference.phantom import Phantom
from tests.conftest import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "docs" / "findings.schema.json").read_text())
ORDER = [
    "schema_version",
    "study_instance_uid",
    "series_instance_uid",
    "status",
    "reason",
    "algorithm",
    "device",
    "engine",
    "timings_s",
    "peak_rss_mb",
    "quality",
]


@pytest.fixture(scope="module")
def written(phantom: Phantom, findings: CaseFindings) -> dict[str, Any]:
    made = findings_to_dict(
        findings,
        volume=phantom.volume,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uids=[f"1.2.3.4.{k + 1}" for k in range(phantom.volume.shape[0])],
        tracking_uids=[f"1.2.3.9.{nodule.id}" for nodule in findings.nodules],
    )
    return dict(json.loads(json.dumps(made, allow_nan=False)))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_an_analysed_series_fits_the_schema(written: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(written)

    assert list(written)[: len(ORDER)] == ORDER
    assert written["nodules"]


def test_a_refused_series_fits_the_schema() -> None:
    made = not_eligible_to_dict(
        study_instance_uid="1.2.3", series_instance_uid="1.2.3.4", reason="no lungs"
    )

    jsonschema.Draft202012Validator(SCHEMA).validate(made)
    assert made["status"] == "not_eligible"


def test_a_nodule_without_its_axes_does_not_fit(written: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(written))
    del broken["nodules"][0]["long_axis"]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_key_slice_axes_and_box_agree_with_the_mask(
    phantom: Phantom, findings: CaseFindings, written: dict[str, Any]
) -> None:
    for nodule, row in zip(findings.nodules, written["nodules"], strict=True):
        k = row["key_slice"]["index_k"]
        (low, high) = row["bounding_box_kji"]
        assert row["key_slice"]["sop_instance_uid"] == f"1.2.3.4.{k + 1}"
        assert low[0] <= k < high[0]
        assert row["voxel_count"] == int(nodule.voi.mask.sum())
        start = phantom.volume.lps_to_index(row["long_axis"]["start_lps_mm"])
        assert start == pytest.approx([k, *row["long_axis"]["start_ji"]], abs=1e-6)
        assert row["grade"] == {"withheld": row["grade"]["withheld"]}


def test_every_rule_is_written_and_says_what_it_lacks(written: dict[str, Any]) -> None:
    for nodule in written["nodules"]:
        rules = nodule["guidelines"]
        assert list(rules) == ["lung_rads", "fleischner_2017", "brock", "mayo"]
        assert rules["mayo"]["probability"] is None
        assert "spiculation" in rules["mayo"]["missing"]
        assert rules["fleischner_2017"]["applicable"] == "unknown"
        assert rules["fleischner_2017"]["recommendation"]
    assert list(written["exam"]) == ["lung_rads", "fleischner_2017"]
    assert "age" in written["exam"]["fleischner_2017"]["missing"]
    assert written["exam"]["lung_rads"]["offered"] == []
