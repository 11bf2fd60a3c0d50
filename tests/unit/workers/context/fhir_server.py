"""A small FHIR R4 server over HTTP: JSON by search parameters, pages, a token."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 2


@dataclass(slots=True)
class SmallFhirServer:
    """What it holds, and how it misbehaves."""

    resources: list[dict[str, Any]]
    token: str = ""
    status: int = 200
    delay_s: float = 0.0
    next_host: str = ""
    base: str = ""
    asked: list[str] = field(default_factory=list)

    def search(self, kind: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Resources of a kind that match identifier, patient and code."""
        found = [item for item in self.resources if item["resourceType"] == kind]
        if "identifier" in query:
            system, _, value = query["identifier"][0].partition("|")
            wanted = {"system": system, "value": value}
            found = [
                item
                for item in found
                if any(wanted.items() <= one.items() for one in item.get("identifier", []))
            ]
        if "patient" in query:
            reference = f"Patient/{query['patient'][0]}"
            found = [
                item
                for item in found
                if (item.get("subject") or item.get("patient"))["reference"] == reference
            ]
        if "code" in query:
            codes = {part.split("|")[1] for part in query["code"][0].split(",")}
            found = [item for item in found if codes & {c["code"] for c in item["code"]["coding"]}]
        return found


@contextmanager
def serving(server: SmallFhirServer) -> Iterator[SmallFhirServer]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(server.delay_s)
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            server.asked.append(parts.path.rsplit("/", 1)[-1])
            status = server.status
            if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
                status = 401
            offset = int(query.get("offset", ["0"])[0])
            found = server.search(parts.path.rsplit("/", 1)[-1], query)
            bundle: dict[str, Any] = {
                "resourceType": "Bundle",
                "type": "searchset",
                "entry": [{"resource": item} for item in found[offset : offset + PAGE]],
                "link": [],
            }
            if offset + PAGE < len(found):
                rest = self.path.split("&offset")[0]
                bundle["link"].append(
                    {
                        "relation": "next",
                        "url": f"{server.next_host or server.base.rsplit('/', 1)[0]}{rest}"
                        f"&offset={offset + PAGE}",
                    }
                )
            body = json.dumps(bundle).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.base = f"http://127.0.0.1:{http.server_address[1]}/fhir"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def patient(
    number: str = "p1", value: str = "4711", system: str = "urn:oid:1.2.3"
) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": number,
        "identifier": [{"system": system, "value": value}],
        "name": [{"family": "Roe", "given": ["Jane"]}],
        "birthDate": "1960-04-02",
        "gender": "female",
    }


def observation(
    number: str = "o1", code: str = "2039-6", value: float = 7.5, of: str = "p1", **others: Any
) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": number,
        "status": "final",
        "subject": {"reference": f"Patient/{of}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "effectiveDateTime": "2026-03-01T08:00:00+01:00",
        "valueQuantity": {
            "value": value, "unit": "ng/mL", "system": "http://unitsofmeasure.org", "code": "ng/mL",
        },
        **others,
    }  # fmt: skip


def others_of(of: str = "p1") -> list[dict[str, Any]]:
    """Smoking, emphysema, a mother with lung cancer, a report."""
    icd, who = "http://hl7.org/fhir/sid/icd-10", {"reference": f"Patient/{of}"}
    smoking = {
        "coding": [{"system": "http://snomed.info/sct", "code": "8517006", "display": "Ex-smoker"}]
    }
    return [
        {
            **observation("o2", "72166-2", of=of),
            "valueQuantity": None,
            "valueCodeableConcept": smoking,
        },
        {
            "resourceType": "Condition", "id": "c1", "subject": who, "recordedDate": "2025-05-01",
            "code": {"coding": [{"system": icd, "code": "J43.9"}]},
            "verificationStatus": {"coding": [{"code": "confirmed"}]},
        },
        {
            "resourceType": "FamilyMemberHistory", "id": "f1", "status": "completed",
            "patient": who, "date": "2025-05-01", "relationship": {"coding": [{"code": "MTH"}]},
            "condition": [{"code": {"coding": [{"system": icd, "code": "C34.9"}]}}],
        },
        {
            "resourceType": "DiagnosticReport", "id": "d1", "status": "final", "subject": who,
            "code": {"text": "CT chest"}, "effectiveDateTime": "2026-03-02",
            "conclusion": "A nodule of 8 mm.",
        },
    ]  # fmt: skip


def bundle(*resources: dict[str, Any], **others: Any) -> bytes:
    """A Bundle as a file holds it."""
    entries = [{"resource": item} for item in resources]
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": entries, **others}
    ).encode()
