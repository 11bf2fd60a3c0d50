"""What was known, as a report says it: each value with its day and the message it came by."""

from __future__ import annotations

from inference.known import KnownContext, KnownValue

NAMES = {
    "age": "age",
    "sex": "sex",
    "size": "height",
    "weight": "weight",
    "smoking_status": "ever smoked",
    "pack_years": "pack-years",
    "emphysema": "emphysema",
    "family_history_lung_cancer": "family history of lung cancer",
    "cancer": "cancer",
    "immunosuppressed": "immunosuppression",
    "screening_exam": "screening examination",
    "cea": "CEA",
    "cyfra_21_1": "CYFRA 21-1",
    "nse": "NSE",
    "scc": "SCC antigen",
    "progrp": "ProGRP",
    "ca_125": "CA 125",
    "ca_15_3": "CA 15-3",
    "ca_19_9": "CA 19-9",
    "afp": "AFP",
    "ldh": "LDH",
    "crp": "CRP",
}
MISSING = {
    "age_years": "age",
    "screening_exam": "whether it is a screening examination",
    "ever_smoker": "smoking",
    "family_history_lung_cancer": "family history of lung cancer",
    "extrathoracic_cancer_over_5_years": "earlier cancer outside the chest",
    "known_cancer": "known cancer",
    "immunosuppressed": "immunosuppression",
    "high_risk": "clinician's judgement of risk",
}
SOURCES = {
    "ct header": "CT header",
    "hl7": "HL7 message",
    "fhir": "FHIR resource",
    "file": "file",
    "report text": "text of report",
    "dicom sr": "DICOM SR",
}


def context_facts(known: KnownContext | None) -> dict[str, str]:
    """Lines of a report's text, by their names; none where nothing was asked for."""
    if known is None:
        return {}
    facts = {}
    if known.values:
        facts["Clinical context"] = "; ".join(describe(item) for item in known.values)
    if known.missing:
        facts["Not known of the patient"] = ", ".join(
            MISSING.get(name, name) for name in known.missing
        )
    if known.left_out:
        facts["Clinical context not used"] = "; ".join(known.left_out)
    if known.held:
        facts["Clinical context held back"] = "; ".join(known.held)
    return facts


def describe(value: KnownValue) -> str:
    """One value: what, how much, of which day, by which message."""
    said = value.text
    if value.number is not None:
        said = f"{value.comparator}{value.number:g} {_unit(value)}".strip()
    elif value.flag is not None:
        said = "yes" if value.flag else "no"
    if value.since:
        said += f" since {value.since}"
    if value.abnormal and value.abnormal != "N":
        said += f" [{value.abnormal}]"
    if value.reference_range:
        said += f" (reference {value.reference_range})"
    source = SOURCES.get(value.source, value.source)
    origin = ", ".join(part for part in (f"{source} {value.message_id}".strip(), value.on) if part)
    return f"{NAMES.get(value.item, value.item)} {said} ({origin})"


def _unit(value: KnownValue) -> str:
    return {"a": "years", "{PackYears}": ""}.get(value.unit, value.unit)
