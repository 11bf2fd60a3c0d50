"""`Backend`: what runs a network, so that another engine can take torch's place.

Any module with one image tensor going in and one or several tensors coming out can be run, with
any batch and any size that the module itself takes. `TorchBackend` runs it as it is, on CPU or
GPU; `openvino_backend` and `onnxruntime_backend` convert it first; `engines` chooses.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.errors import OutOfMemory

CPU = "cpu"


class Backend(Protocol):
    """Runs one network."""

    @property
    def device(self) -> str:
        """For reports: ``cpu``, ``cuda:0`` ..."""
        ...

    @property
    def engine(self) -> str:
        """For reports: name and version of what computes."""
        ...

    @property
    def spare(self) -> Backend | None:
        """What to use when the device's memory is too small for the smallest portion."""
        ...

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """First answer, shape (B, C', D', H', W'), to images of shape (B, C, D, H, W).

        Raises
        ------
        OutOfMemory
            If the device's memory does not suffice: try smaller portions, then `spare`.
        """
        ...

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Every answer, in the module's order; otherwise as `run`."""
        ...


class TorchBackend:
    """Runs a module in torch, in evaluation mode, without gradients.

    On a GPU in plain float32 (no TensorFloat-32, no autocast): nobody has measured yet how far
    the faster formats lead away from what the CPU answers.
    """

    engine = f"torch {torch.__version__}"

    def __init__(self, network: nn.Module, device: str = CPU) -> None:
        self.device = device
        self._network = network.to(device).to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
        self._spare: TorchBackend | None = None

    @property
    def spare(self) -> Backend | None:
        """The same network on the CPU, copied when first asked for."""
        if self.device == CPU:
            return None
        if self._spare is None:
            self._spare = TorchBackend(copy.deepcopy(self._network), CPU)
        return self._spare

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend`."""
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """See `Backend`."""
        try:
            with torch.inference_mode(), self._exact():
                batch = torch.from_numpy(images)
                batch = batch.to(self.device, memory_format=torch.channels_last_3d)
                answers = as_tuple(self._network(batch))
                return tuple(
                    np.asarray(item.float().cpu().contiguous().numpy()) for item in answers
                )
        except torch.OutOfMemoryError as error:
            # Outside `except` the tensors of the failed attempt are still held by its traceback.
            error.__traceback__ = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(self.device, f"images of shape {images.shape}")

    def _exact(self) -> AbstractContextManager[None]:
        """Convolutions in full float32, and the same ones for the same input."""
        if self.device == CPU:
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def as_tuple(answers: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """What a module answered, as a tuple whether it was one tensor or several."""
    return (answers,) if isinstance(answers, torch.Tensor) else tuple(answers)


def run_in_portions(
    backend: Backend, images: NDArray[np.float32], *, at_once: int
) -> tuple[NDArray[np.float32], ...]:
    """Run a long batch a portion at a time, with smaller ones when memory does not suffice.

    Parameters
    ----------
    backend : Backend
        Runs the network; its `spare` takes over where not even one image fits.
    images : ndarray of shape (B, C, D, H, W), dtype float32
        At least one.
    at_once : int
        Images in a portion, at most.

    Returns
    -------
    tuple of ndarray of shape (B, ...)
        Every answer of the network.

    Raises
    ------
    OutOfMemory
        If one image is too much and there is no spare.
    """
    parts: list[tuple[NDArray[np.float32], ...]] = []
    start = 0
    while start < len(images):
        try:
            parts.append(backend.run_all(np.ascontiguousarray(images[start : start + at_once])))
            start += at_once
        except OutOfMemory:
            if at_once > 1:
                at_once = (at_once + 1) // 2
            elif backend.spare is not None:
                backend = backend.spare
            else:
                raise
    return tuple(np.concatenate(answers) for answers in zip(*parts, strict=True))
