"""What the networks shall run on, as a caller says it; `inference.engines` carries it out.

Apart from `engines` so that nobody has to load torch to say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BackendName = Literal["auto", "torch", "openvino", "onnxruntime"]
AUTO: Literal["auto"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the networks shall run on.

    Attributes
    ----------
    backend : {"auto", "torch", "openvino", "onnxruntime"}
        The engine.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : int
        Of the CPU for one network; 0 is what torch thinks right.
    """

    backend: BackendName = AUTO
    device: str = AUTO
    threads: int = 0
