"""Who is compared: a name, a kind, how to make it, and which configurations may be tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np

from inference.grading.table import GradeModel

Kind = Literal["baseline", "graph", "variant"]
Config = dict[str, Any]
"""JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A model to be compared.

    Attributes
    ----------
    name, kind : str
        The full graph is named ``graph``; ``variant`` is a graph with something switched, or
        what another of the documents does.
    make : callable
        Configuration -> a model that has learned nothing yet.
    space : mapping of str to sequence
        Values of each setting; the first of each is the default. Empty: nothing to tune.
    inner : mapping of str to value
        Settings on inner folds, where something cheaper than the real thing chooses and
        calibrates as well; empty is the same as ever.
    settings : mapping of str to value
        What `make` takes where a configuration says nothing: older results do not fit others.
    modalities : tuple of str
        What it is given; empty is everything.
    needs : tuple of str
        Modalities without which it cannot be.
    packages : tuple of str
        Import names of what it needs beside the extra ``training``.
    remedy : str
        How to have what it needs.
    version : str
        Changed when the code behind `make` changes its answers, so that no older result is used.
    """

    name: str
    kind: Kind
    make: Callable[[Config], GradeModel]
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    inner: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    remedy: str = ""
    version: str = "1"

    def configurations(self, budget: int) -> list[Config]:
        """The default and, drawn from all others, at most ``budget`` in all; always the same.

        Every entrant gets the same budget; one whose space is smaller tries all of it.
        """
        names = list(self.space)
        every = [dict(zip(names, values, strict=True)) for values in product(*self.space.values())]
        seed = int(hashlib.sha256(self.name.encode()).hexdigest()[:8], 16)
        order = 1 + np.random.default_rng(seed).permutation(len(every) - 1)
        return [every[0], *(every[int(at)] for at in order[: budget - 1])]

    def describe(self) -> str:
        """What its results depend on, beside data and protocol."""
        facts: list[Any] = [self.name, self.version, dict(self.space), list(self.modalities)]
        if self.inner:
            facts.append(dict(self.inner))
        if self.settings:
            facts.append(dict(self.settings))
        return json.dumps(facts, sort_keys=True, default=list)
