"""The PET series of a CT's own study, or of the same patient and day, where one was sent here.

It is kept like everything that comes and never analysed by itself. Where it has another frame of
reference than the CT, so is the CT that was taken with it, whatever became of that series by
itself. What cannot be measured in becomes a warning of the report; the study goes on without.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from sqlalchemy import select

from dicom_node.read.ct_series import CtSeries
from dicom_node.read.header import Identity
from inference.pet.uptake import SuvVolume
from workers.application import Application
from workers.errors import StoreUnavailable, WorkersError
from workers.patient_key import patient_day
from workers.pet import pet_beside
from workers.state.schema import Instance
from workers.usecases.beside_ct import CT, PET, SeriesBeside, series_beside

log = structlog.get_logger()

UNREADABLE = (WorkersError, OSError, ValueError, KeyError, MemoryError)
TRIED_AT_MOST = 3
"""Series: without attenuation correction there often is a second one."""
NOT_MEASURED = "the PET of this study was not used: "
NOT_MEASURED_OF_DAY = "the PET of another study of this day was not used: "


def find_pet(app: Application, series: CtSeries) -> tuple[SuvVolume | None, tuple[str, ...]]:
    """A PET of the same study or day to measure nodules in.

    Returns
    -------
    pet : SuvVolume or None
        Of the series with the most images that can be measured in, of the same study first.
    warnings : tuple of str
        Why one that is there is not used, where none is.

    Raises
    ------
    StoreUnavailable
        If the store is away.
    """
    at_most = app.settings.maximum_series_instances
    day = patient_day(Identity.from_dataset(series.headers[0]))
    with app.database.read() as session:
        beside = series_beside(session, series.study_instance_uid, day)
    largest = sorted(
        beside, key=lambda uid: (not beside[uid].of_own_study, -beside[uid].count, uid)
    )
    pets = [uid for uid in largest if beside[uid].modality == PET]
    warnings = []
    for uid in pets[:TRIED_AT_MOST]:
        try:
            with tempfile.TemporaryDirectory(prefix="pulmonode-pet-") as scratch:

                def own_ct(frame: str, room: Path = Path(scratch)) -> Iterator[Sequence[Path]]:
                    cts = (uid for uid in largest if _may_be_own(beside[uid], frame, at_most))
                    for uid in itertools.islice(cts, TRIED_AT_MOST):
                        yield _files(app, uid, room)

                pet = pet_beside(series, _files(app, uid, Path(scratch)), own_ct)
        except StoreUnavailable:
            raise  # it may be back for the next attempt
        except UNREADABLE as error:
            log.warning("pet_not_read", error=type(error).__name__)
            pet = f"it cannot be read ({type(error).__name__})"
        if isinstance(pet, SuvVolume):
            return pet, ()
        unused = NOT_MEASURED if beside[uid].of_own_study else NOT_MEASURED_OF_DAY
        warnings.append(f"{unused}{pet}")
    return None, tuple(dict.fromkeys(warnings))


def _may_be_own(beside: SeriesBeside, frame_of_reference_uid: str, at_most: int) -> bool:
    return (
        beside.modality == CT
        and beside.frame_of_reference_uid == frame_of_reference_uid
        and beside.count <= at_most
    )


def _files(app: Application, series_uid: str, scratch: Path) -> Sequence[Path]:
    """Local files of a series' instances that can be read."""
    with app.database.read() as session:
        keys = session.scalars(
            select(Instance.path).where(Instance.series_uid == series_uid, Instance.stored)
        ).all()
    return app.store.local_files(keys, scratch)
