"""What FHIR R4 resources mean: patients, observations, conditions, family history, reports.

Read carefully rather than by a profile: a Bundle with an element that nobody here needs and that
breaks the specification is still taken. What is needed and wrong makes that one entry unusable.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workers.context.facts import (
    TITLE_LENGTH,
    Identifier,
    MessageFacts,
    PatientFacts,
    Person,
    ReportText,
    Value,
    iso_date,
    iso_moment,
    iso_onset,
)
from workers.context.fhir_report import read_report, studies_of
from workers.context.fhir_values import (
    Json,
    as_list,
    as_mapping,
    as_mappings,
    as_text,
    codes,
    codes_of_all,
    codings,
)
from workers.context.items import Code, ItemTable
from workers.context.quantities import read_flag, read_number
from workers.errors import ContextRefused

STATUSES = {
    "final": "F", "amended": "C", "corrected": "C", "appended": "C", "preliminary": "P",
    "registered": "P", "partial": "P", "cancelled": "X", "entered-in-error": "W", "unknown": "P",
}  # fmt: skip
"""Of Observation and DiagnosticReport -> HL7 table 0085."""
SEXES = {"female": "F", "male": "M", "other": "O"}
UNRELIABLE = frozenset({"entered-in-error", "unconfirmed", "provisional", "differential"})
DEPTH = 40
"""Of nested JSON; deeper is refused."""
MAXIMUM_ENTRIES = 20_000
FIRST_DEGREE = frozenset(
    {"MTH", "FTH", "PRN", "NPRN", "NMTH", "NFTH", "SIB", "NSIB", "BRO", "NBRO", "SIS", "NSIS",
     "CHILD", "NCHILD", "SON", "SONC", "DAU", "DAUC", "TWIN", "TWINBRO", "TWINSIS", "FAMMEMB"}
)  # fmt: skip
"""v3-RoleCode: relatives whose lung cancer counts; FAMMEMB is one of whom no more is said."""
BASE = "fhir"
REPORT = "DiagnosticReport"


def read_fhir(data: bytes, table: ItemTable) -> MessageFacts:
    """What a resource or Bundle says.

    Raises
    ------
    ContextRefused
        If it is no FHIR JSON, speaks of no patient, or of one by a reference that is not in it.
    """
    resource = parse_fhir(data)
    digest = hashlib.sha256(data).hexdigest()
    entries = list(_entries(resource))
    patients = {}
    for url, entry in entries:
        if entry.get("resourceType") == "Patient":
            key = f"Patient/{as_text(entry.get('id'))}"
            patients[key] = entry
            if url:
                patients[url] = entry
    if not patients:
        raise ContextRefused("FHIR", "there is no Patient resource in it", "put it into the Bundle")
    distinct = list({id(entry): entry for entry in patients.values()}.values())
    values: dict[int, list[Value]] = {id(entry): [] for entry in distinct}
    reports: dict[int, list[ReportText]] = {id(entry): [] for entry in distinct}
    studies = studies_of(entries)
    for _, entry in entries:
        kind = as_text(entry.get("resourceType"))
        if kind not in READERS and kind != REPORT:
            continue
        owner = _owner(entry, patients)
        if owner is None:
            raise ContextRefused(
                "FHIR",
                f"{safe_id(entry)} names a patient that is not in the Bundle",
                "put the Patient resource into the Bundle",
            )
        if kind == REPORT:
            status = STATUSES.get(as_text(entry.get("status")), "P")
            reports[id(owner)].append(
                read_report(
                    entry, studies, key=_key(entry), status=status, reference=own_reference(entry)
                )
            )
        else:
            values[id(owner)] += READERS[kind](entry, table)
    meta = as_mapping(resource.get("meta"))
    return MessageFacts(
        source="fhir",
        sender=BASE,
        control_id=(as_text(resource.get("id")) or digest[:32])[:199],
        kind=as_text(resource.get("resourceType"))[:64],
        at=iso_moment(as_text(resource.get("timestamp")) or as_text(meta.get("lastUpdated"))),
        patients=tuple(
            PatientFacts(
                identifiers=_identifiers(entry),
                person=_person(entry),
                is_identity=True,
                values=tuple(values[id(entry)]),
                reports=tuple(reports[id(entry)]),
            )
            for entry in distinct
        ),
    )


def parse_fhir(data: bytes) -> Json:
    """The JSON object, if it is one of FHIR.

    Raises
    ------
    ContextRefused
        If it is not.
    """
    try:
        text = data.decode("utf-8-sig")
        text.encode()
        resource = json.loads(text, parse_constant=_no_constant)
        json.dumps(resource, ensure_ascii=False).encode()  # lone surrogates are no text
    except (ValueError, RecursionError) as error:
        raise ContextRefused(
            "FHIR", f"it is not JSON ({type(error).__name__})", "send FHIR R4 as JSON in UTF-8"
        ) from None
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise ContextRefused(
            "FHIR", "there is no resourceType", "send a FHIR R4 resource or Bundle"
        )
    if _depth(resource) > DEPTH:
        raise ContextRefused("FHIR", f"it is nested over {DEPTH} deep", "send FHIR R4")
    return resource


def _no_constant(text: str) -> float:
    raise ValueError(text)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= DEPTH:
        depth += 1
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
    return depth


def _entries(resource: Json) -> Iterator[tuple[str, Json]]:
    if resource.get("resourceType") != "Bundle":
        yield "", resource
        return
    entries = as_list(resource.get("entry"))
    if len(entries) > MAXIMUM_ENTRIES:
        raise ContextRefused("FHIR", f"over {MAXIMUM_ENTRIES} entries", "send it in parts")
    for item in entries:
        entry = as_mapping(item)
        inner = as_mapping(entry.get("resource"))
        if inner:
            yield as_text(entry.get("fullUrl")), inner


def _owner(entry: Json, patients: Mapping[str, Json]) -> Json | None:
    reference = as_mapping(entry.get("subject")) or as_mapping(entry.get("patient"))
    written = as_text(reference.get("reference"))
    if written in patients:
        return patients[written]
    short = re.search(r"Patient/[A-Za-z0-9.-]+", written)
    return patients.get(short[0]) if short else None


def _identifiers(entry: Json) -> tuple[Identifier, ...]:
    found = []
    for item in as_mappings(entry.get("identifier")):
        kinds = [as_text(code.get("code")) for code in codings(item.get("type"))]
        if as_text(item.get("value")) and (not kinds or set(kinds) & {"MR", "PI", "PT"}):
            found.append(
                Identifier(
                    patient_id=as_text(item.get("value")),
                    authority=as_text(item.get("system")),
                    kind=next(iter(kinds), ""),
                )
            )
    return tuple(found)


def _person(entry: Json) -> Person:
    names = []
    for item in as_mappings(entry.get("name")):
        given = next((as_text(part) for part in as_list(item.get("given"))), "")
        name = f"{as_text(item.get('family'))}^{given}".strip("^") or as_text(item.get("text"))
        names.append(name)
    return Person(
        names=tuple(name for name in names if name),
        birth_date=iso_date(as_text(entry.get("birthDate"))).replace("-", ""),
        sex=SEXES.get(as_text(entry.get("gender")), ""),
    )


def _observation(entry: Json, table: ItemTable) -> Iterator[Value]:
    period = as_mapping(entry.get("effectivePeriod"))
    observed = iso_date(
        as_text(entry.get("effectiveDateTime"))
        or as_text(entry.get("effectiveInstant"))
        or as_text(period.get("end"))
        or as_text(period.get("start"))
    )
    status = STATUSES.get(as_text(entry.get("status")), "P")
    parts = [entry, *as_mappings(entry.get("component"))]
    for number, part in enumerate(parts):
        code = next((item for item in codes(part.get("code")) if table.find(item)), None)
        name = table.find(code) if code else None
        if code is None or name is None:
            continue
        quantity = as_mapping(part.get("valueQuantity"))
        answers = codes(part.get("valueCodeableConcept"))
        number_found, comparator, flag, problem = None, "", None, ""
        written = as_text(quantity.get("value"))
        kind = table.items[name].kind
        if kind == "number":
            unit = as_text(quantity.get("code")) or as_text(quantity.get("unit"))
            comparator = as_text(quantity.get("comparator"))
            number_found, _, problem = read_number(table, name, written, unit)
            comparator = comparator.replace("=", "") if comparator in ("<", "<=", ">", ">=") else ""
            written = f"{written} {unit}".strip()
        elif kind == "smoking":
            known = (table.ever_smoked(item) for item in answers)
            flag = next((said for said in known if said is not None), None)
            problem = "" if flag is not None else "the answer's code says nothing of this"
        else:
            flag = part.get("valueBoolean") if isinstance(part.get("valueBoolean"), bool) else None
            for item in answers if flag is None else ():
                flag = flag if flag is not None else read_flag(item.code, item.text)
            problem = "" if flag is not None else "neither yes nor no"
        yield Value(
            item=name,
            code=f"{code.system}^{code.code}",
            key=f"{_key(entry)}/{number}",
            status=status,
            observed_on=observed,
            number=number_found,
            comparator=comparator,
            flag=flag,
            written=written[:TITLE_LENGTH],
            reference_range=_range(part),
            abnormal=next((item.code for item in codes_of_all(part.get("interpretation"))), "")[
                :16
            ],
            problem=problem if observed else "there is no day",
            reference=own_reference(entry),
        )


def _condition(entry: Json, table: ItemTable) -> Iterator[Value]:
    code = next((item for item in codes(entry.get("code")) if table.find_diagnosis(item)), None)
    name = table.find_diagnosis(code) if code else None
    if code is None or name is None or table.items[name].kind == "number":
        return
    verification = {item.code for item in codes(entry.get("verificationStatus"))}
    since = as_text(entry.get("onsetDateTime")) or as_text(
        as_mapping(entry.get("onsetPeriod")).get("start")
    )
    day = iso_date(as_text(entry.get("recordedDate"))) or iso_date(since)
    yield Value(
        item=name,
        code=f"{code.system}^{code.code}",
        key=_key(entry),
        status="W" if "entered-in-error" in verification else "F",
        observed_on=day,
        flag="refuted" not in verification,
        since=iso_onset(since),
        written=code.code[:TITLE_LENGTH],
        problem=_doubt(verification) or ("" if day else "there is no day"),
        reference=own_reference(entry),
    )


def _family(entry: Json, table: ItemTable) -> Iterator[Value]:
    """A relative of the first degree with lung cancer; nothing is said by those without."""
    relations = {item.code.upper() for item in codes(entry.get("relationship"))}
    if relations and not relations & FIRST_DEGREE:
        return
    status = as_text(entry.get("status"))
    for number, condition in enumerate(as_mappings(entry.get("condition"))):
        for code in codes(condition.get("code")):
            if not _is_lung_cancer(code, table):
                continue
            day = iso_date(as_text(entry.get("date")))
            yield Value(
                item="family_history_lung_cancer",
                code=f"{code.system}^{code.code}",
                key=f"{_key(entry)}/{number}",
                status="W" if status == "entered-in-error" else "F",
                observed_on=day,
                flag=True,
                written=code.code[:TITLE_LENGTH],
                problem="" if day else "there is no day",
                reference=own_reference(entry),
            )
            break


def _is_lung_cancer(code: Code, table: ItemTable) -> bool:
    if table.find_diagnosis(code) == "family_history_lung_cancer":
        return True
    lung = code.code.upper().startswith("C34") or code.code in table.items["cancer"].snomed
    return lung and table.find_diagnosis(code) == "cancer"


READERS: dict[str, Callable[[Json, ItemTable], Iterator[Value]]] = {
    "Observation": _observation,
    "Condition": _condition,
    "FamilyMemberHistory": _family,
}


def _doubt(verification: set[str]) -> str:
    found = sorted(verification & UNRELIABLE)
    return f"verification status {found[0]}" if found else ""


def _key(entry: Json) -> str:
    """Equal for every version of a resource: its business identifier, else its ID."""
    for item in as_mappings(entry.get("identifier")):
        if as_text(item.get("value")):
            return f"{BASE}/{as_text(item.get('system'))}/{as_text(item.get('value'))}"
    kind = as_text(entry.get("resourceType"))
    if as_text(entry.get("id")):
        return f"{BASE}/{kind}/{as_text(entry.get('id'))}"
    text = json.dumps(entry, sort_keys=True, default=str)
    return f"{BASE}/{kind}/{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def safe_id(entry: Json) -> str:
    """Type and number of a resource, for messages."""
    kind, number = as_text(entry.get("resourceType")), as_text(entry.get("id"))
    return re.sub(r"[^A-Za-z0-9/._-]", "?", f"{kind[:40]}/{number[:40]}")


def own_reference(entry: Json) -> str:
    """By what a resource is found again; empty where it has no ID, so that its Bundle's counts."""
    return safe_id(entry) if as_text(entry.get("id")) else ""


def _range(part: Json) -> str:
    for item in as_mappings(part.get("referenceRange")):
        text = as_text(item.get("text"))
        low = as_text(as_mapping(item.get("low")).get("value"))
        high = as_text(as_mapping(item.get("high")).get("value"))
        return (text or f"{low}-{high}".strip("-"))[:64]
    return ""
