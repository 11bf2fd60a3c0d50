"""What the objects of a result are called as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def file_names(objects: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """File names for objects of these kinds and profiles, in their order.

    ``sr.dcm`` where there is one report, ``sr-ohif.dcm`` where profiles have their own, and a
    number behind where a profile has several objects of a kind.
    """
    dresses = {kind: {tuple(names) for each, names in objects if each == kind}
               for kind, _ in objects}  # fmt: skip
    stems = [
        f"{kind}-{names[0]}" if len(dresses[kind]) > 1 and names else kind
        for kind, names in objects
    ]
    count = Counter(stems)
    seen: Counter[str] = Counter()
    found = []
    for stem in stems:
        seen[stem] += 1
        found.append(f"{stem}-{seen[stem]}.dcm" if count[stem] > 1 else f"{stem}.dcm")
    return found
