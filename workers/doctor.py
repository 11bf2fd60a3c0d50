"""`pulmonode doctor`: looks at everything that the service needs, and changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from sqlalchemy.exc import SQLAlchemyError

from dicom_node.compose.profile import InvalidProfile
from dicom_node.deliver.peer import Peer, echo
from dicom_node.errors import DicomNodeError, TlsUnusable
from dicom_node.read.eligibility import load_rules
from dicom_node.tls import acceptor_context
from inference.errors import EngineUnavailable, WeightsRefused
from workers.celery_app import broker_answers
from workers.compute import available_cpus, engine_options, threads_for
from workers.console_settings import LOOPBACK_NAMES
from workers.context.mllp import tls_context
from workers.doctor_files import certificates, secrets
from workers.doctor_host import (
    Check,
    clock,
    data_folder,
    ports,
    processor,
    titles,
)
from workers.errors import FontMissing, ResultNotTold, StoreUnavailable
from workers.outbound.mllp_client import connect
from workers.peer_settings import (
    DestinationSettings,
    Hl7DestinationSettings,
    PacsQuerySettings,
    PriorPacsSettings,
)
from workers.profiles import profiles_in_use
from workers.settings import Settings
from workers.state.database import Database, SchemaMismatch
from workers.state.store import open_store
from workers.usecases.deliver_hl7 import peer_of

ECHO_TIMEOUT_S = 5.0
LATIN_ONLY = (
    "Latin letters only: names in others are left out of pages where they have a Latin spelling "
    "(Debian: fonts-wqy-microhei, or PULMONODE_FONT_FILE)"
)


def examine(settings: Settings) -> list[Check]:
    """Make every check, one after the other; none of them stops the others."""
    return [check for part in CHECKS for check in part(settings)]


def _settings(settings: Settings) -> Iterator[Check]:
    callers = ", ".join(settings.calling_ae_titles) or "nobody: set PULMONODE_CALLING_AE_TITLES"
    yield Check(
        what="settings",
        ok=bool(settings.calling_ae_titles),
        found=f"{settings.ae_title} on {settings.host}:{settings.dicom_port}, "
        f"calling AE titles: {callers}",
    )


def _disk(settings: Settings) -> Iterator[Check]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    writable = os.access(folder, os.W_OK)
    free = shutil.disk_usage(folder).free
    yield Check(
        what="disk",
        ok=writable and free > settings.disk_reserve_bytes,
        found=f"{settings.data_dir}: {free / 1e9:.1f} GB free, reserve "
        f"{settings.disk_reserve_bytes / 1e9:.1f} GB{'' if writable else ', not writable'}",
    )


def _database(settings: Settings) -> Iterator[Check]:
    kind = settings.database_url.split(":", 1)[0]
    if settings.state_url is None and not (settings.data_dir / "state.sqlite").exists():
        yield Check(what="state database", ok=None, found=f"{kind}: made at the first start")
        return
    try:
        database = Database(settings.database_url)
    except (SQLAlchemyError, ImportError) as error:
        remedy = "write it as postgresql+psycopg://USER@HOST/NAME"
        found = f"PULMONODE_STATE_URL cannot be used ({type(error).__name__}): {remedy}"
        yield Check(what="state database", ok=False, found=found)
        return
    try:
        database.check_version()
        yield Check(what="state database", ok=True, found=f"{kind}: schema as needed")
    except (SchemaMismatch, SQLAlchemyError) as error:
        said = str(getattr(error, "orig", None) or error).partition("\n")[0]
        yield Check(what="state database", ok=False, found=f"{kind}: {said}")
    finally:
        database.close()


def _store(settings: Settings) -> Iterator[Check]:
    if settings.store_url is None:
        yield Check(what="object store", ok=None, found=f"folder {settings.object_store_url}")
        return
    try:
        open_store(settings.object_store_url).probe()
        yield Check(what="object store", ok=True, found=f"{settings.object_store_url}: writable")
    except StoreUnavailable as error:
        yield Check(what="object store", ok=False, found=str(error))


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.broker_url is None:
        yield Check(what="broker", ok=None, found="embedded Valkey, started by 'pulmonode up'")
        return
    problem = broker_answers(settings.broker_url)
    yield Check(what="broker", ok=problem is None, found=problem or "answers")


def _rules(settings: Settings) -> Iterator[Check]:
    where = settings.rules_file or "packaged rules"
    try:
        rules = load_rules(settings.rules_file)
        yield Check(what="rules", ok=True, found=f"{where}: {len(rules.rules)} rules")
    except (ValueError, OSError) as error:
        yield Check(what="rules", ok=False, found=f"{where}: {error}")


def _profiles(settings: Settings) -> Iterator[Check]:
    try:
        profiles = profiles_in_use(settings)
    except InvalidProfile as error:
        yield Check(what="profiles", ok=False, found=str(error))
        return
    modes = ", ".join(
        f"{item.name}: {item.profile}" + ("" if item.mode == "normal" else f" ({item.mode})")
        for item in settings.destinations
    )
    found = modes or ", ".join(profile.name for profile in profiles)
    yield Check(what="profiles", ok=True, found=found)


def _fonts(settings: Settings) -> Iterator[Check]:
    if find_spec("reportlab") is None:
        yield Check(what="fonts", ok=None, found="reportlab is not installed: this is a node only")
        return
    from workers.page.typeface import find_typeface

    try:
        languages = {"en", *(profile.language for profile in profiles_in_use(settings))}
        found = [find_typeface(language, settings.font_file) for language in sorted(languages)]
    except FontMissing as error:
        yield Check(what="fonts", ok=False, found=str(error))
    except InvalidProfile:
        return  # said above
    else:
        yield Check(what="fonts", ok=True, found=str(found[0].wide_file or LATIN_ONLY))


def _compute(settings: Settings) -> Iterator[Check]:
    if find_spec("torch") is None:
        yield Check(what="compute", ok=None, found="torch is not installed: this is a node only")
        return
    import torch  # here, because the node runs without it

    from inference.engines import possible_engines

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    threads = f"{available_cpus()} CPU cores, {threads_for(settings)} threads for one analysis"
    here = f"{f'{gpus} GPU' if gpus else 'no GPU'}, {threads}"
    try:
        choices = possible_engines(engine_options(settings))
    except EngineUnavailable as error:
        yield Check(what="compute", ok=False, found=f"{error}; {here}")
        return
    first = choices[0]
    yield Check(
        what="compute",
        ok=True,
        found=f"networks run on {first.engine} ({first.device}), PULMONODE_BACKEND is "
        f"{settings.backend}; {here}",
    )


def _processor(settings: Settings) -> Iterator[Check]:
    del settings
    return processor()


def _weights(settings: Settings) -> Iterator[Check]:
    chosen = {
        "detector": settings.detector,
        "segmenter": settings.segmenter,
        "encoder": settings.grader,
        "grader": settings.grader,
    }
    wanted = [name for name, kind in chosen.items() if kind == "trained"]
    if not wanted and settings.detector != "monai":
        yield Check(what="weights", ok=None, found="none: the classical methods are chosen")
        return
    if find_spec("torch") is None:
        yield Check(what="weights", ok=None, found="torch is not installed: this is a node only")
        return
    if settings.detector == "monai":
        yield _bundle(settings)
    from inference.weights import (  # here, because the node runs without torch
        folder_with,
        load_weights,
        multimodal_folder,
    )

    for name in wanted:
        simulated = name == "grader" and bool(settings.grade_by_simulated)
        own = settings.weights_dir
        try:
            folder = multimodal_folder(own) if simulated else folder_with(name, own)
            weights = load_weights(name, folder)
        except WeightsRefused as error:
            yield Check(what="weights", ok=False, found=str(error))
            continue
        found = f"{name} {weights.version}, sha256 {weights.sha256[:12]} as in the manifest"
        if simulated:
            found += f"; SIMULATED: {', '.join(weights.facts.get('simulated', ()))}"
        yield Check(what="weights", ok=True, found=found)


def _bundle(settings: Settings) -> Check:
    from workers.detector_choice import detector_of  # here, because the node runs without SciPy

    try:
        detector = detector_of(settings)
    except (WeightsRefused, EngineUnavailable, OSError) as error:
        return Check(what="weights", ok=False, found=str(error))
    digest = next(iter(detector.weights.values()))
    found = f"MONAI bundle {detector.version}, sha256 {digest[:12]}; listed from a score of "
    return Check(what="weights", ok=True, found=f"{found}{detector.report_from:g}")


def _tls(settings: Settings) -> Iterator[Check]:
    """Whether certificate, key and authorities serve."""
    port = settings.tls_listening()
    if port is None:
        return
    try:
        acceptor_context(port.files)
    except TlsUnusable as error:
        yield Check(what="TLS", ok=False, found=str(error))
        return
    callers = "a certificate" if port.files.authorities else "no certificate"
    yield Check(what="TLS", ok=True, found=f"port {port.port}, callers must show {callers}")


def _peers(settings: Settings) -> Iterator[Check]:
    if not settings.destinations:
        yield Check(what="destinations", ok=None, found="none: results stay here")
    for item in settings.destinations:
        if isinstance(item, Hl7DestinationSettings):
            yield _connects(f"destination {item.name}", settings, item)
            continue
        yield _echo(f"destination {item.name}", item, settings)
    if settings.pacs_query is not None:
        yield _echo("PACS query", settings.pacs_query, settings)
    if settings.prior_pacs is not None:
        yield _echo("PACS of earlier CTs", settings.prior_pacs, settings)


def _echo(
    what: str,
    item: DestinationSettings | PacsQuerySettings | PriorPacsSettings,
    settings: Settings,
) -> Check:
    peer = Peer(
        ae_title=item.ae_title,
        host=item.host,
        port=item.port,
        connect_timeout_s=ECHO_TIMEOUT_S,
        response_timeout_s=ECHO_TIMEOUT_S,
        tls=settings.tls_to(item),
    )
    try:
        echo(peer, settings.ae_title)
    except DicomNodeError as error:
        return Check(what=what, ok=False, found=str(error))
    return Check(what=what, ok=True, found=f"{peer} answers C-ECHO")


def _connects(what: str, settings: Settings, item: Hl7DestinationSettings) -> Check:
    """Whether somebody listens; no message is sent, which a RIS would file."""
    try:
        peer = replace(peer_of(settings, item), connect_timeout_s=ECHO_TIMEOUT_S)
        connect(peer).close()
    except (ResultNotTold, TlsUnusable) as error:
        return Check(what=what, ok=False, found=str(error))
    return Check(what=what, ok=True, found=f"{peer} takes connections")


def _hl7(settings: Settings) -> Iterator[Check]:
    """Whether what the HL7 port needs is there, and whom it takes messages for."""
    if settings.hl7_port is None:
        return
    certificate = settings.hl7_tls_certificate
    if certificate is not None:
        try:
            tls_context(certificate, settings.hl7_tls_key, settings.hl7_tls_client_ca)
        except TlsUnusable as error:
            yield Check(what="HL7", ok=False, found=f"TLS files of the HL7 port: {error}")
            return
    elif settings.hl7_host not in LOOPBACK_NAMES:
        found = (
            f"messages to {settings.hl7_host} go in clear text: set PULMONODE_HL7_TLS_CERTIFICATE"
        )
        yield Check(what="HL7", ok=None, found=found)
    if not settings.context_issuers and not settings.context_default_issuer:
        yield Check(
            what="HL7",
            ok=None,
            found="PULMONODE_CONTEXT_ISSUERS names no assigning authority: only IDs without one "
            "are used, other messages are held",
        )
        return
    senders = ", ".join(settings.hl7_senders) or "anybody"
    names = ", ".join(sorted(settings.context_issuers)) or "none (the default issuer alone)"
    secure = "TLS" if certificate is not None else "no TLS"
    yield Check(
        what="HL7", ok=True, found=f"{secure}, from {senders}; assigning authorities: {names}"
    )


def _told(settings: Settings) -> Iterator[Check]:
    """Whether the files that messages need can be read; `pulmonode alarms test` sends one."""
    for name, way in (
        ("webhook", settings.webhook),
        ("e-mail", settings.email),
        ("DICOM audit", settings.dicom_audit),
    ):
        if way is None:
            continue
        files = [value for key, value in way if key.endswith("_file") and value is not None]
        wrong = [str(file) for file in files if not os.access(file, os.R_OK)]
        found = f"cannot read {', '.join(wrong)}" if wrong else "its files can be read"
        yield Check(what=name, ok=not wrong, found=found)


CHECKS = (
    _settings, titles, ports, data_folder, _disk, clock, _database, _store, _broker, _rules,
    _profiles, _fonts, _compute, _processor, _weights, _tls, _hl7, certificates, secrets,
    _peers, _told,
)  # fmt: skip
