"""PET series as files: headers of `test_suv.pet`, any activity on any grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from dicom_node.compose.ct import CtIdentity, write_ct_series


def write_pet(
    folder: Path,
    stored: NDArray[np.int16],
    affine: NDArray[np.float64],
    slopes: NDArray[np.float64],
    *,
    header: Dataset,
    identity: CtIdentity,
    **values: str,
) -> list[Path]:
    """Write stored values (D, H, W) with a Rescale Slope for each slice.

    `header` tells units and drug; `values` overwrite what else is said.
    """
    paths = write_ct_series(
        folder,
        hu=np.zeros(stored.shape, dtype=np.int16),
        affine=affine,
        identity=identity,
    )
    for path in paths:
        ds = dcmread(path)
        for element in header:
            ds[element.tag] = element
        k = round(float((ds.ImagePositionPatient[2] - affine[2, 3]) / affine[2, 0]))
        ds.SOPClassUID = PositronEmissionTomographyImageStorage
        ds.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        ds.Modality = "PT"
        ds.RescaleSlope, ds.RescaleIntercept = float(slopes[k]), 0.0
        ds.PixelData = stored[k].astype(np.int16).tobytes()
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return paths
