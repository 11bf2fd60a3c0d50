"""Numbers, units and answers as senders write them."""

from __future__ import annotations

import math
import re

from workers.context.items import ItemTable

NUMBER = re.compile(r"\s*(<=|>=|<|>|=)?\s*([+-]?\d{1,12}(?:[.,]\d{1,12})?(?:[eE][+-]?\d{1,2})?)\s*")
YES = frozenset(
    {"y", "yes", "true", "1", "pos", "positive", "present", "有", "是", "阳性", "373066001"}
)
NO = frozenset(
    {"n", "no", "false", "0", "neg", "negative", "absent", "无", "否", "阴性", "373067005"}
)


def read_number(table: ItemTable, item: str, text: str, unit: str) -> tuple[float | None, str, str]:
    """A value in its item's unit.

    Returns
    -------
    number : float or None
        `None` where there is none to be used.
    comparator : str
        ``<`` or ``>`` where the number is a limit, else empty.
    problem : str
        Why there is none; empty where there is.
    """
    match = NUMBER.fullmatch(text)
    if match is None:
        return None, "", "not a number"
    value = float(match[2].replace(",", "."))
    if not math.isfinite(value) or value < 0:
        return None, "", "not a measured quantity"
    if not unit:
        return None, "", "there is no unit"
    converted = table.convert(item, value, unit)
    if converted is None:
        return None, "", f"the unit is none of {table.items[item].unit}'s kind"
    return converted, (match[1] or "").replace("=", ""), ""


def read_flag(*texts: str) -> bool | None:
    """Yes or no, by the first text that is either; `None` where none is."""
    for text in texts:
        plain = text.strip().lower()
        if plain in YES:
            return True
        if plain in NO:
            return False
    return None
