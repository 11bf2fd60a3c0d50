"""The FHIR server is asked for a CT's patient before it is analysed; nothing waits for it long."""

from __future__ import annotations

import structlog

from workers.application import Application
from workers.context.fhir_client import FhirServer, fetch_patient
from workers.context.links import PatientId
from workers.errors import FhirUnavailable
from workers.settings import Settings
from workers.usecases.take_messages import table_of, take_data

log = structlog.get_logger()


def ask_fhir(app: Application, patient: PatientId) -> tuple[str, ...]:
    """Take up what the FHIR server knows of a patient now.

    Returns
    -------
    tuple of str
        What stood against it, for the report; the analysis goes on without.
    """
    settings = app.settings
    if settings.fhir_url is None or not settings.context_enabled or not patient[0]:
        return ()
    systems = systems_of(settings, patient[1])
    if not systems:
        return ("the FHIR server was not asked: no identifier system is known for the issuer",)
    table = table_of(settings)
    loinc = [code for item in table.items.values() for code in item.loinc]
    try:
        data = fetch_patient(server_of(settings), systems, patient[0], loinc)
    except FhirUnavailable as error:
        log.warning("fhir_unavailable", reason=error.why)
        return (f"the FHIR server gave no context: {error.why}",)
    if data is None:
        return ()
    outcome = take_data(app, data, ".json", table)
    if outcome == "held":
        return ("what the FHIR server said of the patient could not be used",)
    return ()


def systems_of(settings: Settings, issuer: str) -> tuple[str, ...]:
    """Identifier systems (URIs) of an issuer, by the settings."""
    return tuple(
        system for system, of in settings.context_issuers.items() if of == issuer and ":" in system
    )


def server_of(settings: Settings) -> FhirServer:
    """The server of the settings, which name one."""
    return FhirServer(
        url=settings.fhir_url or "",
        token_file=settings.fhir_token_file,
        ca_file=settings.fhir_ca_file,
        timeout_s=settings.fhir_timeout_s,
        limit_s=settings.fhir_limit_s,
    )
