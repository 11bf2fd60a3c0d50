"""A network run by OpenVINO on the CPU (optional: extra ``openvino``).

The module is traced by torch and read by OpenVINO's own PyTorch front end. Its converter
(``openvino.convert_model``) would do the same, but it also reports its use to the vendor over
the internet unless a file in the home directory forbids it; nothing here calls it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import nn

from inference.backend import CPU, Backend


class OpenVinoBackend:
    """Runs a module in OpenVINO, in float32, for any batch and any size.

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
    engine = f"openvino {openvino.__version__.split('-')[0]}"
    spare: Backend | None = None

    def __init__(self, network: nn.Module, example_shape: tuple[int, ...], *, threads: int) -> None:
        self._compiled = openvino.Core().compile_model(
            _convert(network, example_shape),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                # Else bfloat16 on processors that have it, with other answers.
                "INFERENCE_PRECISION_HINT": "f32",
                # Else every worker process of a host holds on to the same first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend`."""
        return self.run_all(images)[0]

    def run_all(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """See `Backend`."""
        answers = self._compiled([images])
        return tuple(np.array(answers[port], dtype=np.float32) for port in self._compiled.outputs)


def _convert(network: nn.Module, example_shape: tuple[int, ...]) -> Any:
    """The module as an OpenVINO model whose sizes are all open."""
    with warnings.catch_warnings(), torch.no_grad():
        # torch calls tracing deprecated; the front end for its successor is not ready for it.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network.cpu().eval(), torch.zeros(example_shape), check_trace=False
        )
        decoder = TorchScriptPythonDecoder(traced)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))
