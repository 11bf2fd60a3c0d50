"""The PET series of a CT's own study, where one was sent here too.

It is kept like everything that comes and never analysed by itself. What cannot be measured in
becomes a warning of the report; the study goes on without.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import structlog
from sqlalchemy import select

from dicom_node.read.ct_series import CtSeries
from inference.pet.uptake import SuvVolume
from workers.application import Application
from workers.errors import WorkersError
from workers.pet import pet_beside
from workers.state.schema import Instance, Job

log = structlog.get_logger()

UNREADABLE = (WorkersError, OSError, ValueError, KeyError, MemoryError)
TRIED_AT_MOST = 3
"""Series: without attenuation correction there often is a second one."""
NOT_MEASURED = "the PET of this study was not used: "


def find_pet(app: Application, series: CtSeries) -> tuple[SuvVolume | None, tuple[str, ...]]:
    """A PET of the same study to measure nodules in.

    Returns
    -------
    pet : SuvVolume or None
        Of the series with the most images that can be measured in.
    warnings : tuple of str
        Why one that is there is not used, where none is.
    """
    with app.database.read() as session:
        of_study = select(Job.series_uid).where(
            Job.study_uid == series.study_instance_uid, Job.modality == "PT"
        )
        rows = session.execute(
            select(Instance.series_uid, Instance.path).where(
                Instance.series_uid.in_(of_study), Instance.stored
            )
        )
        keys = defaultdict(list)
        for uid, path in rows:
            keys[uid].append(path)
    largest = sorted(keys, key=lambda uid: (-len(keys[uid]), uid))
    warnings = []
    for own in (keys[uid] for uid in largest[:TRIED_AT_MOST]):
        try:
            with tempfile.TemporaryDirectory(prefix="pulmonode-pet-") as scratch:
                pet = pet_beside(series, app.store.local_files(own, Path(scratch)))
        except UNREADABLE as error:
            log.warning("pet_not_read", error=type(error).__name__)
            pet = f"it cannot be read ({type(error).__name__})"
        if isinstance(pet, SuvVolume):
            return pet, ()
        warnings.append(f"{NOT_MEASURED}{pet}")
    return None, tuple(dict.fromkeys(warnings))
