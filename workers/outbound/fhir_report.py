"""A result as FHIR R4: a Bundle with DiagnosticReport, one Observation per nodule, and whose it is.

The same values as in the SR, under the same codes. The status is ``preliminary``: FHIR's ``final``
says that an authorised person has verified it, which nobody has. ``amended`` and ``corrected`` are
changes "subsequent to being final", so a revision is ``preliminary`` again and names what it
replaces; what it replaced is ``entered-in-error``, the only status that says that a resource is
not to be treated as valid.

References
----------
HL7 FHIR R4 (4.0.1): DiagnosticReport with its extension replaces and its notes on reports that are
withdrawn, Observation, ImagingStudy, Patient, Device, Bundle. RFC 5829 (``successor-version``).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydicom.sr.coding import Code

from dicom_node.compose import codes
from dicom_node.compose.identity import derive_uid
from dicom_node.equipment import CODING_SCHEME_DESIGNATOR, MANUFACTURER
from workers.outbound.told import Standing, ToldNodule, ToldResult

Json = dict[str, Any]
SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    CODING_SCHEME_DESIGNATOR: f"urn:oid:{derive_uid('code system', CODING_SCHEME_DESIGNATOR)}",
}
"""Coding Scheme Designator -> URI (FHIR R4 section 4.3.5)."""
CT_CHEST = Code("24627-2", "LN", "CT Chest")
COUNTS, WITHDRAWN = "preliminary", "entered-in-error"
REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
NOT_FOR_DIAGNOSIS = "Research use, not for diagnosis."
GENDERS = {"F": "female", "M": "male", "O": "other"}
DICOM_UID = "urn:dicom:uid"
DATE_LETTERS = len("YYYYMMDD")


def compose_bundle(
    told: ToldResult, systems: Mapping[str, str], standing: Standing | None = None
) -> Json:
    """Compose the Bundle of a result.

    Parameters
    ----------
    told : ToldResult
        The result.
    systems : mapping of str to str
        Issuer (0010,0021) -> identifier system (URI) of its patient IDs, where one is known.
    standing : Standing, optional
        Whether it still counts, and what it replaces; without one it does, and replaces nothing.
    """
    standing = standing or Standing()
    key = f"{told.identity.study_instance_uid} {told.report_uid}"
    urls = {name: _url(key, name) for name in ("patient", "device", "study", "report")}
    nodules = [(_url(key, f"nodule {item.number}"), item) for item in told.nodules]
    entries = [
        (urls["report"], _report(told, urls, [url for url, _ in nodules], standing)),
        (urls["patient"], _patient(told, systems)),
        (urls["study"], _study(told, urls)),
        (urls["device"], _device(told)),
        *((url, _observation(told, item, urls, standing)) for url, item in nodules),
    ]
    newer = standing.newer_uid
    return _present(
        resourceType="Bundle",
        type="collection",
        identifier=_report_identifier(told.report_uid),
        timestamp=_instant(told),
        link=[{"relation": "successor-version", "url": _oid(newer)}] if newer else None,
        entry=[{"fullUrl": url, "resource": resource} for url, resource in entries],
    )


def _report_identifier(uid: str) -> Json:
    return {"system": DICOM_UID, "value": _oid(uid)}


def _status(standing: Standing) -> str:
    return WITHDRAWN if standing.withdrawn else COUNTS


def _url(key: str, name: str) -> str:
    """The same for the same result, so that nobody files it twice."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'pulmonode {key} {name}')}"


def _oid(uid: str) -> str:
    return f"urn:oid:{uid}"


def _instant(told: ToldResult) -> str:
    return told.committed_at.isoformat(timespec="seconds")


def _date(text: str) -> str | None:
    plain = len(text) == DATE_LETTERS and text.isdigit()
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if plain else None


def _present(**values: Any) -> Json:
    """Only what is known: FHIR allows no empty element."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _coding(code: Code) -> Json:
    return {
        "system": SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning
    }  # fmt: skip


def _concept(code: Code) -> Json:
    """A coded concept; one of a scheme without a known URI is told by its words."""
    if code.scheme_designator not in SYSTEMS:
        return {"text": code.meaning or code.value}
    return {"coding": [_coding(code)], "text": code.meaning}


def _quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": SYSTEMS["UCUM"], "code": unit}


def _patient(told: ToldResult, systems: Mapping[str, str]) -> Json:
    whose = told.identity
    issuer = whose.issuer_of_patient_id
    return _present(
        resourceType="Patient",
        identifier=[
            _present(
                value=whose.patient_id,
                system=systems.get(issuer),
                assigner={"display": issuer} if issuer else None,
            )
        ]
        if whose.patient_id
        else None,
        name=[_name(group) for group in whose.patient_name.split("=") if group.strip("^ ")],
        gender=GENDERS.get(whose.sex, "unknown" if whose.sex else None),
        birthDate=_date(whose.birth_date),
    )


def _name(group: str) -> Json:
    family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
    return _present(
        family=family.strip(),
        given=[part.strip() for part in (given, middle) if part.strip()],
        prefix=[prefix.strip()] if prefix.strip() else None,
        suffix=[suffix.strip()] if suffix.strip() else None,
    )


def _study(told: ToldResult, urls: Mapping[str, str]) -> Json:
    identifier: list[Json] = [
        {"system": DICOM_UID, "value": _oid(told.identity.study_instance_uid)}
    ]
    if told.identity.accession_number:
        identifier.append(
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                            "code": "ACSN",
                            "display": "Accession ID",
                        }
                    ]
                },
                "value": told.identity.accession_number,
            }
        )
    return _present(
        resourceType="ImagingStudy",
        status="available",
        identifier=identifier,
        subject={"reference": urls["patient"]},
        started=_date(told.identity.study_date),
    )


def _device(told: ToldResult) -> Json:
    name, _, version = told.algorithm.rpartition(" ")
    return {
        "resourceType": "Device",
        "status": "active",
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": name, "type": "model-name"}],
        "version": [{"value": version}],
    }


def _report(
    told: ToldResult, urls: Mapping[str, str], results: list[str], standing: Standing
) -> Json:
    """One that is withdrawn concludes nothing but that."""
    category = None if standing.withdrawn else told.lung_rads
    return _present(
        resourceType="DiagnosticReport",
        extension=[
            {
                "url": REPLACES,
                "valueReference": {
                    "type": "DiagnosticReport",
                    "identifier": _report_identifier(uid),
                },
            }
            for uid in standing.replaces
        ],
        identifier=[_report_identifier(told.report_uid)],
        status=_status(standing),
        category=[
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
                        "code": "CT",
                        "display": "CAT Scan",
                    }
                ]
            }
        ],
        code=_concept(told.procedure or CT_CHEST),
        subject={"reference": urls["patient"]},
        effectiveDateTime=_date(told.identity.study_date),
        issued=_instant(told),
        imagingStudy=[{"reference": urls["study"]}],
        result=[{"reference": url} for url in results],
        conclusion=standing.withdrawn or "\n".join(told.lines),
        conclusionCode=[_concept(category)] if category else None,
    )


def _observation(
    told: ToldResult, nodule: ToldNodule, urls: Mapping[str, str], standing: Standing
) -> Json:
    return _present(
        resourceType="Observation",
        identifier=[{"system": DICOM_UID, "value": _oid(nodule.tracking_uid)}],
        status=_status(standing),
        category=[
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "imaging",
                        "display": "Imaging",
                    }
                ]
            }
        ],
        code=_concept(codes.NODULE),
        subject={"reference": urls["patient"]},
        partOf=[{"reference": urls["study"]}],
        effectiveDateTime=_date(told.identity.study_date),
        issued=_instant(told),
        device={"reference": urls["device"]},
        bodySite=_concept(nodule.site) if nodule.site else None,
        note=[{"text": text} for text in (standing.withdrawn, NOT_FOR_DIAGNOSIS) if text],
        component=_components(nodule),
    )


def _components(nodule: ToldNodule) -> list[Json]:
    coded = [
        (codes.NODULE_TYPE, nodule.type),
        (codes.MODEL_LEVEL, nodule.level),
        (codes.LUNG_RADS, nodule.lung_rads),
    ]
    measured = [
        (codes.LONG_AXIS, round(nodule.long_axis_mm, 1), "mm"),
        (codes.SHORT_AXIS, round(nodule.short_axis_mm, 1), "mm"),
        (codes.VOLUME, round(nodule.volume_mm3), "mm3"),
    ]
    if nodule.suspicion is not None:
        measured.append((codes.MODEL_SUSPICION, round(nodule.suspicion, 3), "1"))
    if nodule.brock is not None:
        measured.append((codes.BROCK_RISK, round(100 * nodule.brock, 1), "%"))
    return [
        *(
            {"code": _concept(code), "valueQuantity": _quantity(value, unit)}
            for code, value, unit in measured
        ),
        *(
            {"code": _concept(code), "valueCodeableConcept": _concept(value)}
            for code, value in coded
            if value is not None
        ),
    ]
