from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_node.compose import codes
from tests.unit.workers.outbound.results import LINES, STUDY_UID, nodule, told
from workers.outbound.fhir_report import CT_CHEST, SYSTEMS, compose_bundle
from workers.outbound.oru import STUDY_INSTANCE_UID
from workers.outbound.told import Standing

GONE = Standing(withdrawn="Withdrawn: job 2 took its place.", newer_uid="1.2.3.9")
HOSPITAL = {"HOSP": "urn:oid:1.2.3"}


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [item["resource"] for item in bundle["entry"]]
    return [item for item in found if item["resourceType"] == kind]


def walk(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


BARE = nodule(
    1,
    lobe={"name": None, "probability": None},
    laterality=None,
    type=None,
    grade={"withheld": "too small"},
    guidelines={
        "lung_rads": {"category": None, "applicable": "unknown"},
        "brock": {"probability": None},
    },
)


@pytest.mark.parametrize(
    "result",
    [
        told(),
        told(BARE),
        replace(told(), nodules=(), lung_rads=None, analysed=False),
        told(PatientName="", PatientID="", PatientBirthDate="", PatientSex="", AccessionNumber=""),
        told(StudyDate="", StudyTime="", IssuerOfPatientID=""),
        told(PatientBirthDate="1960", PatientSex="X"),
    ],
)
def test_fhirs_own_schemas_accept_it_and_every_reference_leads_somewhere(result: Any) -> None:
    bundle = compose_bundle(result, HOSPITAL)

    read = Bundle.model_validate(json.loads(json.dumps(bundle)))

    urls = {entry.fullUrl for entry in read.entry}
    asked = {item["reference"] for item in walk(bundle) if "reference" in item}
    assert len(urls) == len(read.entry) == 4 + len(result.nodules)
    assert asked <= urls
    assert not [item for item in walk(bundle) for value in item.values() if value in ("", [], {})]


@pytest.mark.parametrize("standing", [GONE, Standing(replaces=("1.2.3.8", "1.2.3.7"))])
def test_fhirs_own_schemas_accept_what_replaces_and_what_is_replaced(standing: Standing) -> None:
    Bundle.model_validate(json.loads(json.dumps(compose_bundle(told(), HOSPITAL, standing))))


def test_what_is_withdrawn_concludes_nothing_else_and_names_the_newer_report() -> None:
    bundle = compose_bundle(told(), HOSPITAL, GONE)

    (report,) = resources(bundle, "DiagnosticReport")
    observations = resources(bundle, "Observation")
    assert {item["status"] for item in (report, *observations)} == {"entered-in-error"}
    assert report["conclusion"] == GONE.withdrawn
    assert "conclusionCode" not in report
    assert [item["note"][0]["text"] for item in observations] == [GONE.withdrawn] * 2
    assert bundle["link"] == [{"relation": "successor-version", "url": "urn:oid:1.2.3.9"}]


def test_it_says_whose_it_is_and_what_was_found() -> None:
    bundle = compose_bundle(told(), HOSPITAL)

    (patient,) = resources(bundle, "Patient")
    assert patient["identifier"][0]["system"] == "urn:oid:1.2.3"
    assert (patient["name"][0]["family"], patient["name"][0]["given"]) == ("Roe", ["Jane", "Q"])
    assert (patient["birthDate"], patient["gender"]) == ("1960-04-02", "female")
    (study,) = resources(bundle, "ImagingStudy")
    assert study["identifier"][0]["value"] == f"urn:oid:{STUDY_UID}"
    assert study["identifier"][1]["value"] == "A-77"
    (report,) = resources(bundle, "DiagnosticReport")
    assert (report["status"], report["effectiveDateTime"]) == ("preliminary", "2026-03-02")
    assert report["conclusion"] == "\n".join(LINES)
    assert len(report["result"]) == 2
    first, _ = resources(bundle, "Observation")
    assert first["bodySite"]["coding"][0]["code"] == "42400003"
    values = {
        item["code"]["coding"][0]["code"]: item.get("valueQuantity", {}).get("value")
        for item in first["component"]
    }
    assert (values["103339001"], values["118565006"]) == (12.3, 813)
    assert "not for diagnosis" in first["note"][0]["text"]


def test_the_same_result_is_the_same_bundle() -> None:
    assert compose_bundle(told(), {}) == compose_bundle(told(), {})


def test_a_procedure_of_an_unknown_scheme_is_told_in_words() -> None:
    result = replace(told(), procedure=Code("77", "HIS-LOCAL", "CT thorax"))

    (report,) = resources(compose_bundle(result, {}), "DiagnosticReport")

    assert report["code"] == {"text": "CT thorax"}


def test_the_codes_mean_what_the_dictionaries_of_dicom_say() -> None:
    """LOINC's is in docs/context_codes.md; ours are in docs/conformance.md."""
    schemes = (standard.SCT, standard.DCM)
    found = [getattr(scheme, name) for scheme in schemes for name in scheme.dir()]
    known = {code.value: code.meaning for code in found}
    said = {
        item["code"]: item["display"]
        for item in walk(compose_bundle(told(), {}))
        if item.get("system") in (SYSTEMS["SCT"], SYSTEMS["DCM"])
    } | {STUDY_INSTANCE_UID.value: STUDY_INSTANCE_UID.meaning}

    sites = {code.value for code in codes.SITES.values()}  # of CID 6147, which pydicom lacks
    assert set(said) - sites
    for code, display in said.items():
        assert known.get(code, display).lower().startswith(display.lower())
        assert code in known or code in sites
    assert CT_CHEST.value == "24627-2"
    assert codes.NODULE.value in said
