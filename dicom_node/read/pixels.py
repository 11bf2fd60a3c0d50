"""Pixel Data -> array, where what they claim to be is not too much.

Every decoding of what others sent goes through here: a small file may claim a picture that no
machine has room for, in its attributes or in a compressed frame's own header.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from dicom_node.read.codestream import read_frame_size
from dicom_node.read.decode_apart import decode_apart

FRAME_PIXELS_AT_MOST = 1 << 24
"""Rows x Columns of one image: 4096 x 4096. CT has 512 x 512, at most 2048 x 2048."""
OBJECT_PIXELS_AT_MOST = 1 << 30
"""Rows x Columns x Number of Frames: a Segmentation of 4096 frames of 512 x 512."""
DECODERS = {
    **dict.fromkeys(map(str, JPEGLSTransferSyntaxes), "pyjpegls"),
    **dict.fromkeys(map(str, JPEG2000TransferSyntaxes), "pylibjpeg"),
    str(RLELossless): "pydicom",
}
"""Else pydicom tries GDCM as well, which ends the process when it meets a broken JPEG-LS frame
(found by the long run of the fuzzer)."""
APART = frozenset(map(str, (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)))
"""The JPEG processes that GDCM alone decodes, or that it is tried for."""
SIZED = (APART | DECODERS.keys()) - {str(RLELossless)}
"""Whose frames begin with their size."""


class TooManyPixels(ValueError):
    """An instance claims more pixels than are decoded."""


def decode_pixels(ds: FileDataset) -> NDArray[Any]:
    """The stored values of an instance, as pydicom's `pixel_array` gives them.

    Raises
    ------
    TooManyPixels
        If the attributes claim more than the limits, or a compressed frame more than they do.
    ValueError, and what else stands in `stored_file.MALFORMED`
        If the pixels cannot be decoded.
    """
    rows, columns = (int(ds[name].value) for name in ("Rows", "Columns"))
    samples = int(ds.get("SamplesPerPixel") or 1)
    frames = int(ds.get("NumberOfFrames") or 1)
    check_claim(rows, columns, frames * samples)
    syntax = str(ds.file_meta.TransferSyntaxUID)
    if ds["PixelData"].is_undefined_length:  # encapsulated (PS3.5 section A.4)
        for number, frame in enumerate(
            generate_frames(ds.PixelData, number_of_frames=frames), start=1
        ):
            size = read_frame_size(frame)
            if size is None:
                if syntax in SIZED:  # a decoder may still find one, and make room for it
                    raise ValueError(f"frame {number} does not begin with its size")
            elif size.rows > rows or size.columns > columns or size.samples > samples:
                raise TooManyPixels(
                    f"frame {number} says it has {size.rows} x {size.columns} pixels of "
                    f"{size.samples} samples; Rows, Columns and Samples per Pixel say "
                    f"{rows} x {columns} of {samples}"
                )
    if syntax in APART:
        return decode_apart(ds)
    plugin = DECODERS.get(syntax)
    if plugin is not None:
        ds.pixel_array_options(decoding_plugin=plugin)
    stored: NDArray[Any] = ds.pixel_array
    return stored


def check_claim(rows: int, columns: int, frames: int = 1) -> None:
    """Refuse sizes beyond the limits.

    Raises
    ------
    TooManyPixels
        If there are more pixels in a frame, or in all, than are decoded.
    """
    if rows * columns > FRAME_PIXELS_AT_MOST:
        raise TooManyPixels(
            f"{rows} x {columns} pixels in a frame, at most {FRAME_PIXELS_AT_MOST} are decoded"
        )
    if rows * columns * frames > OBJECT_PIXELS_AT_MOST:
        raise TooManyPixels(
            f"{frames} times {rows} x {columns} pixels, at most {OBJECT_PIXELS_AT_MOST} are decoded"
        )
