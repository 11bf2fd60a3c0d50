"""Whether two statements of who a patient is speak of one person.

Equal patient IDs of one issuer are taken for one person unless something speaks against it: a
wrong armband, an ID given out twice, a merge gone wrong. What differs is named, never shown.
"""

from __future__ import annotations

import re
import unicodedata

from workers.context.facts import Person


def differences(one: Person, other: Person) -> tuple[str, ...]:
    """What speaks against it: of ``birth date``, ``sex``, ``name``; empty for one person.

    What one of them does not say speaks for and against nothing. A name differs when no part of
    it is shared: family names change by marriage, given names are shortened. Names in different
    scripts cannot be compared.
    """
    found = []
    if one.birth_date and other.birth_date and one.birth_date != other.birth_date:
        found.append("birth date")
    sexes = {one.sex, other.sex}
    if sexes == {"F", "M"}:
        found.append("sex")
    if _names_differ(one.names, other.names):
        found.append("name")
    return tuple(found)


def _names_differ(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    compared = False
    for mine in one:
        for theirs in other:
            parts, others = _parts(mine), _parts(theirs)
            if not parts or not others or _is_latin(parts) != _is_latin(others):
                continue
            compared = True
            if parts & others or "".join(sorted(parts)) == "".join(sorted(others)):
                return False
    return compared


def _parts(name: str) -> frozenset[str]:
    """Parts of a name without case, accents and punctuation; initials do not count."""
    plain = unicodedata.normalize("NFKD", name).casefold().replace("ß", "ss")
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.split(r"[\W_]+", plain)
    return frozenset(word for word in words if len(word) > 1 or (word and not word.isascii()))


def _is_latin(parts: frozenset[str]) -> bool:
    return all(unicodedata.name(part[0], "").startswith("LATIN") for part in parts)
