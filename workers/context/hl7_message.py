"""One HL7 v2 message as values: `Hl7Message` and its header.

Parsed by python-hl7, which knows segments, fields, repetitions, components and subcomponents
and asks for no profile: hospitals' messages seldom keep to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hl7

from workers.context.hl7_text import CHARSETS, safe, unescape
from workers.errors import Hl7Refused

SHORTEST_HEADER = len("MSH|^~\\&|")
Components = tuple[tuple[str, ...], ...]
"""Components of a repetition, each with its subcomponents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHeader:
    """MSH, as far as anything depends on it."""

    separators: str
    """Field separator, then MSH-2."""
    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    at: str
    """MSH-7."""
    code: str
    """MSH-9.1, such as ORU."""
    trigger: str
    """MSH-9.2, such as R01."""
    control_id: str
    processing_id: str
    version: str
    charset: str
    """MSH-18, first repetition."""

    @property
    def sender(self) -> str:
        """``APPLICATION|FACILITY``, as the settings name it."""
        return f"{self.sending_application}|{self.sending_facility}"

    @property
    def kind(self) -> str:
        """``ORU^R01``."""
        return f"{self.code}^{self.trigger}"


class Segment:
    """One segment, by field number as the Standard counts (MSH-1 is the separator)."""

    def __init__(self, parsed: Any, message: Hl7Message) -> None:
        self._parsed = parsed
        self._message = message
        self.name = str(parsed[0])

    def repetitions(self, number: int) -> list[Components]:
        """Every repetition of a field; none where it is absent or empty."""
        if number >= len(self._parsed) or not str(self._parsed[number]):
            return []
        return [self._components(item) for item in self._parsed[number]]

    def text(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """One value of the first repetition, stripped; empty where it is absent."""
        found = self.repetitions(number)
        return pick(found[0], component, subcomponent) if found else ""

    def whole(self, number: int) -> str:
        """All repetitions of a text field, one line each."""
        return "\n".join(
            "^".join("&".join(component) for component in item) for item in self.repetitions(number)
        ).strip()

    def _components(self, item: Any) -> Components:
        parts = item if isinstance(item, hl7.Repetition) else [item]
        return tuple(
            tuple(
                self._message.plain(str(value))
                for value in (part if isinstance(part, hl7.Component) else [part])
            )
            for part in parts
        )


def pick(components: Components, component: int, subcomponent: int = 1) -> str:
    """One value, stripped; empty where it is absent. HL7's explicit null ("") is empty too."""
    if component > len(components) or subcomponent > len(components[component - 1]):
        return ""
    value = components[component - 1][subcomponent - 1].strip()
    return "" if value == '""' else value


class Hl7Message:
    """A parsed message.

    Parameters
    ----------
    text : str
        One message, decoded, segments ending in carriage returns.

    Raises
    ------
    Hl7Refused
        If it cannot be read.
    """

    def __init__(self, text: str) -> None:
        marks = text[3:8]
        if len(text) < SHORTEST_HEADER or not text.startswith("MSH"):
            raise Hl7Refused("AR", 100, "the MSH segment is cut off", "MSH^1")
        if len(set(marks)) != len(marks) or any(mark.isalnum() or mark in " \r" for mark in marks):
            raise Hl7Refused("AR", 100, "MSH-1 and MSH-2 are not five separators", "MSH^1^2")
        try:
            parsed = hl7.parse(text)
        except (hl7.HL7Exception, ValueError, IndexError, KeyError, AssertionError) as error:
            raise Hl7Refused("AR", 100, f"cannot be parsed ({type(error).__name__})", "") from None
        self.separators = text[3:8]
        self._order = (marks[0], marks[1], marks[4], marks[2])
        self._codec = "utf-8"
        self.segments = [Segment(item, self) for item in parsed if str(item)]
        self.header = self._header()
        self._codec = CHARSETS.get(self.header.charset.upper(), "utf-8")

    def plain(self, value: str) -> str:
        """A value without escape sequences."""
        return unescape(value, self._order, self.separators[3], self._codec)

    def all(self, name: str) -> list[Segment]:
        """Every segment of that name, in order."""
        return [segment for segment in self.segments if segment.name == name]

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def _header(self) -> MessageHeader:
        msh = self.segments[0]
        return MessageHeader(
            separators=self.separators,
            sending_application=msh.text(3),
            sending_facility=msh.text(4),
            receiving_application=msh.text(5),
            receiving_facility=msh.text(6),
            at=msh.text(7),
            code=safe(msh.text(9, 1)).upper() if msh.text(9, 1) else "",
            trigger=safe(msh.text(9, 2)).upper() if msh.text(9, 2) else "",
            control_id=msh.text(10),
            processing_id=msh.text(11).upper(),
            version=msh.text(12),
            charset=msh.text(18),
        )
