"""The error tree of `inference`.

::

    InferenceError
    ├── NotAnalysable      the pixels do not show what the pipeline is for
    ├── WeightsRefused     trained weights are missing or not those of the manifest
    └── OutOfMemory        the device ran out of memory (transient: smaller tiles, other node)
"""

from __future__ import annotations


class InferenceError(Exception):
    """Base of all errors that `inference` raises on purpose."""

    transient: bool = False


class NotAnalysable(InferenceError):
    """The volume is not one that the pipeline can judge.

    Attributes
    ----------
    code : str
        Constant for programs, for example ``"no_lungs"``.
    why : str
        What was seen and what was wanted, for people.
    """

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        self.why = why
        super().__init__(why)


class WeightsRefused(InferenceError):
    """Trained weights are missing or not those of the manifest.

    Attributes
    ----------
    name : str
        Of the weights.
    why : str
        What is wrong, for people.
    """

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"weights {name}: {why}")


class OutOfMemory(InferenceError):
    """The device ran out of memory."""

    transient = True
