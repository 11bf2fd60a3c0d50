"""The error tree of `inference`.

::

    InferenceError
    ├── NotAnalysable      the pixels do not show what the pipeline is for
    ├── WeightsRefused     trained weights are missing or not those of the manifest (transient)
    ├── BankRefused        a typical-case bank is missing, damaged or would not hold together
    │                      (transient)
    ├── EngineUnavailable  what shall run the networks is not installed or cannot (transient)
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

    transient = True  # of this host: another one, or this one mended, can do the job

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"weights {name}: {why}")


class BankRefused(InferenceError):
    """A typical-case bank cannot be used, or a change to it not be made.

    Attributes
    ----------
    name : str
        Version or file.
    why : str
        What is wrong, for people.
    """

    transient = True  # of this host: a folder that is not mounted fails no job for good

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self.why = why
        super().__init__(f"bank {name} {why}")


class EngineUnavailable(InferenceError):
    """What shall run the networks is not installed, not here, or cannot run them.

    Attributes
    ----------
    engine : str
        Its name.
    why : str
        What is wrong, for people.
    """

    transient = True  # of this host: another one, or this one mended, can do the job

    def __init__(self, engine: str, why: str) -> None:
        self.engine = engine
        self.why = why
        super().__init__(f"engine {engine}: {why}")


class OutOfMemory(InferenceError):
    """The device ran out of memory.

    Attributes
    ----------
    device : str
        Which one.
    what : str
        What did not fit.
    """

    transient = True

    def __init__(self, device: str, what: str) -> None:
        self.device = device
        self.what = what
        super().__init__(f"memory of {device} does not suffice for {what}")
