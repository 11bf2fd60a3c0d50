"""Asks a FHIR R4 server for one patient's context, by search (FHIR R4 section 3.1.1).

Patients are asked for by identifier and system together; an answer with several is none.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from workers.errors import FhirUnavailable

Json = Mapping[str, Any]
PAGES_AT_MOST = 20
ANSWER_BYTES = 20_000_000
COUNT = "200"
CODES_AT_ONCE = 30
"""LOINC codes of one question: URLs have limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirServer:
    """Where and how to ask."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = 5.0
    limit_s: float = 20.0


def fetch_patient(
    server: FhirServer, systems: Iterable[str], patient_id: str, loinc: Iterable[str]
) -> bytes | None:
    """A Bundle of all that the server knows of a patient; equal bytes while it knows the same.

    Parameters
    ----------
    server : FhirServer
        Asked.
    systems : iterable of str
        Identifier systems of the issuer.
    patient_id : str
        Patient ID (0010,0020).
    loinc : iterable of str
        Codes of the observations that are wanted.

    Returns
    -------
    bytes or None
        JSON in UTF-8; `None` where the server does not know the patient.

    Raises
    ------
    FhirUnavailable
        If the server does not answer in time, not with FHIR, or with several patients.
    """
    deadline = time.monotonic() + server.limit_s
    try:
        with _client(server) as client:
            found = _patients(client, systems, patient_id, deadline)
            if not found:
                return None
            if len(found) > 1:
                raise FhirUnavailable("several patients have that identifier")
            (number, patient), *_ = found.items()
            entries = {f"Patient/{number}": patient}
            codes = sorted(set(loinc))
            for query in _queries(number, codes):
                for item in _search(client, *query, deadline):
                    if _is_of(item, number):
                        entries[f"{item['resourceType']}/{item.get('id')}"] = item
    except httpx.HTTPError as error:
        raise FhirUnavailable(f"{type(error).__name__}") from error
    except (OSError, ValueError) as error:
        raise FhirUnavailable(f"{type(error).__name__}: settings or answer unusable") from error
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": entries[key]} for key in sorted(entries)],
    }
    return json.dumps(bundle, sort_keys=True).encode()


def _client(server: FhirServer) -> httpx.Client:
    headers = {"Accept": "application/fhir+json"}
    if server.token_file is not None:
        headers["Authorization"] = f"Bearer {server.token_file.read_text().strip()}"
    return httpx.Client(
        base_url=server.url.rstrip("/") + "/",
        headers=headers,
        timeout=server.timeout_s,
        verify=str(server.ca_file) if server.ca_file is not None else True,
        follow_redirects=False,
        trust_env=False,
    )


def _patients(
    client: httpx.Client, systems: Iterable[str], patient_id: str, deadline: float
) -> dict[str, Json]:
    found = {}
    for system in systems:
        escaped = re.sub(r"([\\,$|])", r"\\\1", patient_id)
        for item in _search(client, "Patient", {"identifier": f"{system}|{escaped}"}, deadline):
            if item.get("resourceType") == "Patient" and _has(item, system, patient_id):
                found[str(item.get("id"))] = item
    return found


def _has(patient: Json, system: str, value: str) -> bool:
    """Whether the patient has the identifier: a server may search more loosely than asked."""
    identifiers = patient.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(item, dict) and item.get("system") == system and item.get("value") == value
        for item in identifiers
    )


def _queries(number: str, codes: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    of = {"patient": number, "_count": COUNT}
    for begin in range(0, len(codes), CODES_AT_ONCE):
        wanted = ",".join(f"http://loinc.org|{code}" for code in codes[begin:][:CODES_AT_ONCE])
        yield "Observation", {**of, "code": wanted}
    for kind in ("Condition", "FamilyMemberHistory", "DiagnosticReport"):
        yield kind, of


def _search(
    client: httpx.Client, kind: str, parameters: dict[str, str], deadline: float
) -> Iterator[Json]:
    """Resources of all pages of a search."""
    url: str | httpx.URL = kind
    query: dict[str, str] | None = parameters
    for _ in range(PAGES_AT_MOST):
        if time.monotonic() > deadline:
            raise FhirUnavailable("it took too long")
        page = _page(client, url, query, deadline)
        for entry in page.get("entry") or []:
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
                yield resource
        following = [
            item.get("url")
            for item in page.get("link") or []
            if isinstance(item, dict) and item.get("relation") == "next"
        ]
        if not following:
            return
        url, query = client.base_url.join(str(following[0])), None
        if (url.scheme, url.host, url.port) != (
            client.base_url.scheme, client.base_url.host, client.base_url.port,
        ):  # fmt: skip
            raise FhirUnavailable("its next page lies on another server")
    raise FhirUnavailable(f"over {PAGES_AT_MOST} pages of {kind}")


def _page(
    client: httpx.Client, url: str | httpx.URL, query: dict[str, str] | None, deadline: float
) -> Json:
    body = bytearray()
    with client.stream("GET", url, params=query) as answer:
        if answer.status_code != httpx.codes.OK:
            raise FhirUnavailable(f"status {answer.status_code}")
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES:
                raise FhirUnavailable(f"an answer of over {ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise FhirUnavailable("it took too long")
    page = json.loads(bytes(body))
    if not isinstance(page, dict) or page.get("resourceType") != "Bundle":
        raise FhirUnavailable("it answers with no Bundle")
    return page


def _is_of(resource: Json, number: str) -> bool:
    reference = resource.get("subject") or resource.get("patient")
    written = reference.get("reference") if isinstance(reference, dict) else ""
    return re.search(rf"(^|/)Patient/{re.escape(number)}(/_history/.*)?$", str(written)) is not None
