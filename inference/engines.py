"""Which engine runs the networks: what was asked for, or the fastest that is here and right.

Order of ``auto``: a CUDA device with torch, else OpenVINO, ONNX Runtime, torch on the CPU, of
those that are installed. A converted network must give torch's answers on a probe before it is
used; in ``auto`` an engine that fails is passed over, else it is an error.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from torch import nn

from inference.backend import CPU, Backend, TorchBackend
from inference.engine_options import AUTO, EngineOptions
from inference.errors import EngineUnavailable

EngineName = Literal["torch", "openvino", "onnxruntime"]
PACKAGES: dict[EngineName, tuple[str, ...]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx"),
}
EXTRAS: dict[EngineName, str] = {"openvino": "openvino", "onnxruntime": "onnx"}
AGREES_WITHIN = 1e-3
"""Largest difference from torch on the probe, over the larger of 1 and torch's largest answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One engine on one device."""

    engine: EngineName
    device: str


def possible_engines(options: EngineOptions) -> tuple[Choice, ...]:
    """What the options allow on this machine, best first; never empty.

    Raises
    ------
    EngineUnavailable
        If what was asked for is not installed, not here, or does not go together.
    """
    cuda = _cuda(options.device)
    if options.backend not in (AUTO, "torch"):
        engine: EngineName = options.backend
        if cuda is not None and options.device != AUTO:
            raise EngineUnavailable(engine, f"it runs on the CPU here, not on {options.device}")
        if not _installed(engine):
            raise EngineUnavailable(
                engine, f"it is not installed: pip install 'pulmonode[{EXTRAS[engine]}]'"
            )
        return (Choice(engine=engine, device=CPU),)
    if cuda is not None and options.device != AUTO:
        return (Choice(engine="torch", device=cuda),)
    on_gpu = () if cuda is None else (Choice(engine="torch", device=cuda),)
    if options.backend == "torch":
        return (*on_gpu, Choice(engine="torch", device=CPU))
    converted = tuple(
        Choice(engine=engine, device=CPU) for engine in PACKAGES if _installed(engine)
    )
    return (*on_gpu, *converted, Choice(engine="torch", device=CPU))


def make_backend(
    network: nn.Module, example_shape: tuple[int, ...], options: EngineOptions | None = None
) -> Backend:
    """Make a network ready to run.

    Parameters
    ----------
    network : Module
        With its weights; one image tensor in, one or several tensors out.
    example_shape : tuple of int
        A small shape (B, C, D, H, W) that the network takes, for tracing and for the probe.
    options : EngineOptions, optional
        Automatic choice if absent.

    Raises
    ------
    EngineUnavailable
        If the engine that was asked for cannot run this network.
    """
    options = options or EngineOptions()
    if options.threads:
        torch.set_num_threads(options.threads)
    threads = options.threads or torch.get_num_threads()
    choices = possible_engines(options)
    for choice in choices[:-1]:
        try:
            return _make(network, example_shape, choice, threads)
        except EngineUnavailable:
            continue  # the last one is always tried, and its error is told
    return _make(network, example_shape, choices[-1], threads)


def _make(
    network: nn.Module, example_shape: tuple[int, ...], choice: Choice, threads: int
) -> Backend:
    if choice.engine == "torch" and choice.device == CPU:
        return TorchBackend(network, CPU)
    # Tracing leaves marks on a module; torch may still have to run this one.
    twin = copy.deepcopy(network)
    try:
        backend = (
            TorchBackend(twin, choice.device)
            if choice.engine == "torch"
            else _converted(twin, example_shape, choice.engine, threads)
        )
        _check(backend, network, example_shape)
    except EngineUnavailable:
        raise
    except Exception as error:
        raise EngineUnavailable(
            choice.engine,
            f"it cannot run this network on {choice.device}: {type(error).__name__}: {error}",
        ) from error
    return backend


def _converted(
    network: nn.Module, example_shape: tuple[int, ...], engine: EngineName, threads: int
) -> Backend:
    # Here, not above: each is optional, and takes its time to load.
    if engine == "openvino":
        from inference.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(network, example_shape, threads=threads)
    from inference.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(network, example_shape, threads=threads)


def _check(backend: Backend, network: nn.Module, example_shape: tuple[int, ...]) -> None:
    """Compare with torch on noise.

    Raises
    ------
    EngineUnavailable
        If they differ by more than `AGREES_WITHIN`.
    """
    probe = np.random.default_rng(0).standard_normal(example_shape).astype(np.float32)
    name = backend.engine
    wanted = TorchBackend(copy.deepcopy(network)).run_all(probe)
    found = backend.run_all(probe)
    shapes = [item.shape for item in wanted], [item.shape for item in found]
    if shapes[0] != shapes[1]:
        raise EngineUnavailable(name, f"it answers shapes {shapes[1]}, torch {shapes[0]}")
    for right, answer in zip(wanted, found, strict=True):
        scale = max(1.0, float(np.abs(right).max()))
        apart = float(np.abs(answer - right).max()) / scale
        if not apart <= AGREES_WITHIN:  # NaN is no agreement either
            raise EngineUnavailable(
                name,
                f"its answers differ from torch's by {apart:.1e}, limit {AGREES_WITHIN:.0e}",
            )


def _installed(engine: EngineName) -> bool:
    return all(find_spec(package) is not None for package in PACKAGES[engine])


def _cuda(device: str) -> str | None:
    """The CUDA device to use, if any.

    Raises
    ------
    EngineUnavailable
        If one was asked for that is not here.
    """
    if device == CPU:
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == AUTO:
        return "cuda:0" if count else None
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        raise EngineUnavailable("torch", f"device {device} was asked for, {count} are here")
    return f"cuda:{number}"
