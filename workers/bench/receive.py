"""`pulmonode bench receive`: images per second that come in, ours beside Orthanc and storescp.

One sender for all (DCMTK's dcmsend); the receivers take turns within each round, so that what
else the machine and its disk do falls on all of them. A ratio is formed within a round.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicom_node.compose.ct import CtIdentity, slice_dataset
from workers.bench.receivers import (
    AE_TITLE,
    OURS,
    OURS_NOT_DURABLE,
    RECEIVERS,
    STORESCP,
    Receiver,
    RunningReceiver,
    find_program,
)
from workers.errors import BenchmarkFailed

PIXELS = 512
PIXEL_MM = 0.7
SEND_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivePlan:
    """What to measure.

    Attributes
    ----------
    folder : Path
        For the images and for what is received: on the disk that is to be measured.
    images : int
        512 x 512 x 16 bit each.
    associations : tuple of int
        At once, each with its share of the images.
    rounds : int
        In each, every receiver once for each number of associations.
    """

    folder: Path
    images: int = 300
    associations: tuple[int, ...] = (1, 4)
    rounds: int = 7
    receivers: tuple[Receiver, ...] = RECEIVERS


def bench_receive(plan: ReceivePlan, say: Callable[[str], None]) -> dict[str, Any]:
    """Send the same images to every receiver, again and again.

    Returns
    -------
    dict
        ``images_per_s`` and ``cpu_s`` (median, lowest, highest) by receiver and number of
        associations; ``ratios`` of ours over each other one, ``equal`` for ours without fsync
        over storescp: images per second, formed within each round.

    Raises
    ------
    BenchmarkFailed
        If a program is missing, does not start, or keeps fewer images than were sent.
    """
    say("making images")
    files = _make_images(plan.folder / "images", plan.images)
    rates: dict[str, dict[int, list[float]]] = {}
    cpu: dict[str, dict[int, list[float]]] = {}
    loads: list[float] = []
    running: list[RunningReceiver] = []
    try:
        for number, receiver in enumerate(plan.receivers):
            running.append(RunningReceiver(receiver, plan.folder / f"receiver-{number}"))
        for round_ in range(plan.rounds + 1):
            for count in plan.associations:
                for server in running:
                    say(f"round {round_} of {plan.rounds}, {count} at once: {server.receiver.name}")
                    wall_s, cpu_s = _send(server, files, count)
                    if round_ == 0:
                        continue  # everything is read from disk for the first time
                    name = server.receiver.name
                    rates.setdefault(name, {}).setdefault(count, []).append(len(files) / wall_s)
                    cpu.setdefault(name, {}).setdefault(count, []).append(cpu_s)
            loads.append(os.getloadavg()[0])
    finally:
        for server in running:
            server.stop()
    return _result(plan, rates, cpu, loads)


def _send(server: RunningReceiver, files: Sequence[Path], count: int) -> tuple[float, float]:
    """Wall seconds of the senders, and CPU seconds of the receiver."""
    dcmsend = find_program("dcmsend")
    server.receiver.empty(server.port, server.folder)
    os.sync()  # what others left to write is not ours to wait for
    cpu_before = server.cpu_s()
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            [dcmsend, "-nuc", "-q", "-aet", "SENDER", "-aec", AE_TITLE, "127.0.0.1",
             str(server.port), *map(str, files[start::count])],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for start in range(count)
    ]  # fmt: skip
    said = [sender.communicate(timeout=SEND_LIMIT_S)[1] for sender in senders]
    wall_s = time.perf_counter() - began
    for sender, text in zip(senders, said, strict=True):
        if sender.returncode:
            last = text.decode(errors="replace").splitlines()[-1:]
            raise BenchmarkFailed(f"dcmsend to {server.receiver.name}", last or ["no message"])
    kept = server.receiver.count(server.port, server.folder)
    if kept != len(files):
        raise BenchmarkFailed(server.receiver.name, [f"{kept} of {len(files)} images were kept"])
    return wall_s, server.cpu_s() - cpu_before


def _make_images(folder: Path, count: int) -> list[Path]:
    """Images that are there already are used again."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.array(
        [[0, 0, PIXEL_MM, 0], [0, PIXEL_MM, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64
    )
    identity = CtIdentity(key="bench receive")
    noise = np.random.default_rng(0).normal(-800, 60, (PIXELS, PIXELS)).astype(np.int16)
    paths = [folder / f"{number:05d}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            ds = slice_dataset(noise, number, number + 1, affine, identity)
            partial = path.with_suffix(".part")
            ds.save_as(partial, enforce_file_format=True)
            partial.rename(path)
    return paths


def _result(
    plan: ReceivePlan,
    rates: dict[str, dict[int, list[float]]],
    cpu: dict[str, dict[int, list[float]]],
    loads: list[float],
) -> dict[str, Any]:
    names = [item.name for item in plan.receivers]

    def ratio(mine: str, theirs: str) -> dict[str, dict[str, float]]:
        return {
            str(count): _spread(
                [a / b for a, b in zip(rates[mine][count], rates[theirs][count], strict=True)]
            )
            for count in plan.associations
        }

    spread_ratios = {name: ratio(OURS.name, name) for name in names if name != OURS.name}
    return {
        "images": plan.images,
        "rounds": plan.rounds,
        "cores": os.cpu_count(),
        "load": {"first": loads[0], "last": loads[-1]},
        "durable": {item.name: item.durable for item in plan.receivers},
        "images_per_s": _by_count(rates),
        "cpu_s": _by_count(cpu),
        "ratios": {
            name: {count: values["median"] for count, values in by_count.items()}
            for name, by_count in spread_ratios.items()
        },
        "ratio_spread": spread_ratios,
        "equal": ratio(OURS_NOT_DURABLE.name, STORESCP.name)
        if {OURS_NOT_DURABLE.name, STORESCP.name} <= set(names)
        else None,
    }


def _by_count(values: dict[str, dict[int, list[float]]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {str(count): _spread(each) for count, each in by_count.items()}
        for name, by_count in values.items()
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
