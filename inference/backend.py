"""`Backend`: what runs a network, so that another engine can take torch's place.

`TorchBackend` runs on CPU or GPU in plain torch. An exported graph (ONNX Runtime, OpenVINO) is
another class with the same method; nothing else changes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Backend(Protocol):
    """Runs one network."""

    @property
    def device(self) -> str:
        """For reports: ``cpu``, ``cuda:0`` ..."""
        ...

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answers of shape (B, C', D', H', W') to images of shape (B, C, D, H, W)."""
        ...


class TorchBackend:
    """Runs a module in torch, in evaluation mode, without gradients."""

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        self.device = device
        self._network = network.to(device).to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend`."""
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last_3d)
            answer = self._network(batch)
        return np.asarray(answer.float().cpu().contiguous().numpy())
