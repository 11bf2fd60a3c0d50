"""A job's result as a FHIR R4 Bundle, for whoever asks."""

from __future__ import annotations

from typing import Any

from workers.application import Application
from workers.outbound.fhir_report import compose_bundle
from workers.settings import Settings
from workers.usecases.audit import Actor, record_alone
from workers.usecases.told_result import told_job


def tell_fhir(app: Application, wanted: str, *, by: Actor) -> dict[str, Any]:
    """The Bundle of a job, by number or Series Instance UID; whoever asks is recorded.

    By UID it is the newest revision's. One whose place another took says so, and names that.

    Raises
    ------
    NoSuchJob, NoResult, ResultNotTold
        If there is no such job, or nothing to tell of it.
    StoreUnavailable, ObjectMissing, ObjectChanged
        If findings or report are not there as they were kept.
    """
    job_id, told, standing = told_job(app, wanted)
    bundle = compose_bundle(told, identifier_systems(app.settings), standing)
    record_alone(app, by, "job.export", job_id=job_id)
    return bundle


def identifier_systems(settings: Settings) -> dict[str, str]:
    """Issuer -> identifier system (URI) of its patient IDs, by the settings; the first by name."""
    found: dict[str, str] = {}
    for system, issuer in sorted(settings.context_issuers.items()):
        if ":" in system:
            found.setdefault(issuer, system)
    return found
