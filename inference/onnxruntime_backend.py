"""A network run by ONNX Runtime on the CPU (optional: extra ``onnx``)."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from inference.backend import CPU, Backend, as_tuple

INPUT = "image"
SIZES = {0: "batch", 2: "depth", 3: "height", 4: "width"}
"""Axes of the images that may have any size."""


class OnnxRuntimeBackend:
    """Runs a module in ONNX Runtime, in float32, for any batch and any size.

    Parameters
    ----------
    network : Module
        One tensor in, one or several out; without branches that depend on values.
    example_shape : tuple of int
        A shape (B, C, D, H, W) that the network takes; traced once with zeros.
    threads : int
        To use at once.
    """

    device = CPU
    engine = f"onnxruntime {onnxruntime.__version__}"
    spare: Backend | None = None

    def __init__(self, network: nn.Module, example_shape: tuple[int, ...], *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin take the cores from the other workers of a host.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            _export(network, example_shape), options, providers=["CPUExecutionProvider"]
        )

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend`."""
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """See `Backend`."""
        answers = self._session.run(None, {INPUT: images})
        return tuple(np.asarray(item, dtype=np.float32) for item in answers)


def _export(network: nn.Module, example_shape: tuple[int, ...]) -> bytes:
    """The module as an ONNX file whose batch and sizes are open."""
    example = torch.zeros(example_shape)
    network = network.cpu().eval()
    with torch.no_grad():
        count = len(as_tuple(network(example)))
    names = [f"answer{number}" for number in range(count)]
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # torch calls this exporter deprecated. Its successor needs one more package, takes ten
        # seconds instead of half of one, and refuses adaptive pooling.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            file,  # type: ignore[arg-type] # a path or a buffer, says its documentation
            dynamo=False,
            input_names=[INPUT],
            output_names=names,
            dynamic_axes={INPUT: SIZES} | {name: {0: "batch"} for name in names},
        )
    return file.getvalue()
