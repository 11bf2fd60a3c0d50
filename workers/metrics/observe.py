"""What happens, told to whoever counts in this process; nothing happens where nobody does.

Use cases call `note` once their work is done. A role hands over where observations go
(`listen`): a node counts them itself, a worker's processes send them to the one that is scraped.
Names and labels stand in `workers.metrics.catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Sink = Callable[[str, float, Mapping[str, str]], None]

_sink: Sink | None = None


def listen(sink: Sink | None) -> None:
    """Let observations of this process, and of those that it forks, go to `sink`."""
    global _sink
    _sink = sink


def note(name: str, value: float = 1.0, /, **labels: str) -> None:
    """Tell that a counter rises by `value`, a histogram or a gauge takes it.

    Must be cheap and never raises: work does not depend on being counted.
    """
    if _sink is not None:
        _sink(name, value, labels)
