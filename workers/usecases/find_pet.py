"""The PET series of a CT's own study, where one was sent here too.

It is kept like everything that comes and never analysed by itself. What cannot be measured in
becomes a warning of the report; the study goes on without.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import structlog
from sqlalchemy import func, select

from dicom_node.read.ct_series import CtSeries
from inference.pet.uptake import SuvVolume
from workers.application import Application
from workers.errors import WorkersError
from workers.pet import pet_beside
from workers.state.schema import Instance, Job

log = structlog.get_logger()

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
        found = session.execute(
            select(Job.series_uid)
            .join(Instance, Instance.series_uid == Job.series_uid)
            .where(Job.study_uid == series.study_instance_uid, Job.modality == "PT")
            .group_by(Job.series_uid)
            .order_by(func.count().desc(), Job.series_uid)
            .limit(TRIED_AT_MOST)
        ).scalars()
        keys = [
            session.scalars(
                select(Instance.path).where(Instance.series_uid == uid, Instance.stored)
            ).all()
            for uid in found
        ]
    warnings = []
    for own in keys:
        try:
            with tempfile.TemporaryDirectory(prefix="pulmonode-pet-") as scratch:
                pet = pet_beside(series, app.store.local_files(list(own), Path(scratch)))
        except (WorkersError, OSError, MemoryError) as error:
            log.warning("pet_not_read", error=type(error).__name__)
            pet = f"it cannot be read ({type(error).__name__})"
        if isinstance(pet, SuvVolume):
            return pet, ()
        warnings.append(f"{NOT_MEASURED}{pet}")
    return None, tuple(dict.fromkeys(warnings))
