"""DiagnosticReport: its text, and which examination it reports."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Mapping

from workers.context.facts import TITLE_LENGTH, ReportText, iso_date
from workers.context.fhir_values import Json, as_mapping, as_mappings, as_text, codes

DICOM_UID = "urn:dicom:uid"
"""System of a UID as an identifier (FHIR R4, ImagingStudy.identifier)."""
OID = "urn:oid:"
ACCESSION = "ACSN"
"""HL7 table 0203."""

Studies = Mapping[str, Json]
"""ImagingStudy resources by what refers to them."""


def studies_of(entries: Iterable[tuple[str, Json]]) -> Studies:
    """The ImagingStudy resources of a Bundle by their references."""
    found = {}
    for url, entry in entries:
        if entry.get("resourceType") == "ImagingStudy":
            found[f"ImagingStudy/{as_text(entry.get('id'))}"] = entry
            if url:
                found[url] = entry
    return found


def read_report(
    entry: Json, studies: Studies, *, key: str, status: str, reference: str
) -> ReportText:
    """The text of a DiagnosticReport: conclusion and plain attachments, else the narrative."""
    title = as_mapping(entry.get("code"))
    observed = iso_date(as_text(entry.get("effectiveDateTime")) or as_text(entry.get("issued")))
    of_studies = _of_studies(entry, studies)
    identifiers = [*as_mappings(entry.get("identifier")), *of_studies]
    orders = [as_mapping(item.get("identifier")) for item in as_mappings(entry.get("basedOn"))]
    accessions = [
        as_text(item.get("value"))
        for item in (*identifiers, *orders)
        if ACCESSION in {code.code for code in codes(item.get("type"))}
    ]
    return ReportText(
        kind="report",
        key=key,
        status=status,
        observed_on=observed,
        title=(as_text(title.get("text")) or next((c.text for c in codes(title)), ""))[
            :TITLE_LENGTH
        ],
        text=_text(entry).replace("\0", " "),
        accession=next(filter(None, accessions), "")[:64],
        orders=tuple(filter(None, (as_text(item.get("value"))[:64] for item in orders))),
        study_uid=next(filter(None, map(_uid, of_studies)), ""),
        reference=reference,
    )


def _text(entry: Json) -> str:
    texts = [as_text(entry.get("conclusion"))]
    for form in as_mappings(entry.get("presentedForm")):
        if as_text(form.get("contentType")).startswith("text/plain"):
            try:
                texts.append(base64.b64decode(as_text(form.get("data")), validate=True).decode())
            except (binascii.Error, ValueError):
                continue
    if not any(texts):
        narrative = as_text(as_mapping(entry.get("text")).get("div"))
        texts = [html.unescape(re.sub(r"<[^>]{0,500}>", " ", narrative)).strip()]
    return "\n".join(text for text in texts if text)


def _of_studies(entry: Json, studies: Studies) -> list[Json]:
    """Identifiers of the studies that it names, by reference or by identifier."""
    found: list[Json] = []
    for item in as_mappings(entry.get("imagingStudy")):
        found.append(as_mapping(item.get("identifier")))
        written = as_text(item.get("reference"))
        short = re.search(r"ImagingStudy/[A-Za-z0-9.-]+", written)
        study = studies.get(written) or studies.get(short[0] if short else "") or {}
        found += as_mappings(study.get("identifier"))
    return found


def _uid(identifier: Json) -> str:
    value = as_text(identifier.get("value"))
    if as_text(identifier.get("system")) == DICOM_UID or value.startswith(OID):
        uid = value.removeprefix(OID)
        return uid if re.fullmatch(r"[0-9]+(?:\.[0-9]+)+", uid) else ""
    return ""
