"""The newest earlier chest CT of a patient that a PACS has, fetched and analysed on the spot.

Only where the site names such a PACS. What does not come in time becomes a warning, and the
study goes on without.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import structlog

from dicom_node.deliver.peer import Peer
from dicom_node.errors import DicomNodeError, PeerRefused, PeerUnreachable
from dicom_node.query.prior import find_prior_series
from dicom_node.query.retrieve import MoveDestination, fetch_series
from dicom_node.read.ct_series import CtSeries
from dicom_node.read.eligibility import load_rules
from dicom_node.read.header import Identity
from inference.errors import InferenceError
from inference.follow_up.exam import PriorExam
from workers.application import Application
from workers.audit_trail.trail import fetch_from, tell_asked, told_transfer
from workers.detector_choice import detector_of, segmenter_of
from workers.prior import prior_of_folder

log = structlog.get_logger()

FETCHED_AT_MOST = 3
"""Series: a study may have several, of which the first is a localizer or of other organs."""
NOT_COMPARED = "an earlier CT at the PACS was not compared: "


def fetch_prior(app: Application, series: CtSeries) -> tuple[PriorExam | None, tuple[str, ...]]:
    """An earlier examination from the PACS that the settings name.

    Returns
    -------
    exam : PriorExam or None
        The newest that could be fetched and is surely the same patient's.
    warnings : tuple of str
        Why one that was there is not compared with.
    """
    pacs = app.settings.prior_pacs
    if pacs is None:
        return None, ()
    peer = Peer(
        ae_title=pacs.ae_title,
        host=pacs.host,
        port=pacs.port,
        connect_timeout_s=pacs.timeout_s,
        response_timeout_s=pacs.timeout_s,
        tls=app.settings.tls_to(pacs),
    )
    move_to = None
    if pacs.move_to is not None:
        move_to = MoveDestination(
            ae_title=pacs.move_to.ae_title,
            host=pacs.move_to.host,
            port=pacs.move_to.port,
            tls=app.settings.tls_accepting() if pacs.move_to.tls else None,
        )
    deadline = time.monotonic() + pacs.limit_s
    warnings: list[str] = []
    try:
        identity = Identity.from_dataset(series.headers[0])
        found = find_prior_series(
            peer, app.settings.ae_title, identity, partial(tell_asked, app.settings)
        )
        for earlier in found[:FETCHED_AT_MOST]:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                warnings.append(f"{NOT_COMPARED}not here within {pacs.limit_s:g} s")
                break
            with tempfile.TemporaryDirectory(prefix="pulmonode-prior-") as scratch:
                folder = Path(scratch)
                moved = fetch_from(peer, identity, earlier.study_uid, earlier.slice_count)
                with told_transfer(app.settings, moved):
                    fetch_series(
                        peer,
                        app.settings.ae_title,
                        earlier,
                        folder,
                        limit_s=left_s,
                        move_to=move_to,
                    )
                exam = prior_of_folder(
                    folder,
                    load_rules(app.settings.rules_file),
                    series,
                    detector=detector_of(app.settings),
                    segmenter=segmenter_of(app.settings),
                    source=f"PACS {pacs.ae_title}",
                )
            if isinstance(exam, PriorExam):
                return exam, ()
            warnings.append(f"{NOT_COMPARED}{exam}")
    except (DicomNodeError, InferenceError, OSError, MemoryError) as error:
        log.warning("prior_not_fetched", error=type(error).__name__)
        warnings.append(f"{NOT_COMPARED}{_told(error)}")
    return None, tuple(dict.fromkeys(warnings))


def _told(error: Exception) -> str:
    """For a report: without the hosts and paths that errors name for administrators."""
    if isinstance(error, PeerUnreachable):
        return "the PACS could not be reached"
    if isinstance(error, PeerRefused):
        return f"the PACS refused it (status 0x{error.status:04X})"
    if isinstance(error, (OSError, MemoryError)):
        return f"it could not be read ({type(error).__name__})"
    return str(error)
