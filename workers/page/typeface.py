"""Letters of the page: which font a text needs, how wide it is, where its lines end."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from workers.errors import FontMissing

LATIN = "Vera"
LATIN_BOLD = "VeraBd"
"""Bitstream Vera, which comes with reportlab. The letters used go into the PDF: viewers have
fonts of other widths than the Helvetica that a PDF may ask for, and lines would run out."""
WIDE_FONT_FILES = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
    Path("/usr/share/fonts/wqy-microhei/wqy-microhei.ttc"),
    Path("/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc"),
)
"""Free fonts with Latin, Chinese, Japanese and Korean letters in one TrueType file, where
Debian and Fedora put them."""
UNDRAWABLE = "?"
ELLIPSIS = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Typeface:
    """The fonts of one page; `wide` is `None` where this machine has none."""

    wide: str | None
    wide_file: Path | None
    always_wide: bool
    """Of a language that is not written in Latin letters: one font for all its text."""

    def font_of(self, text: str, *, bold: bool = False) -> str:
        """Name of the font that draws a text."""
        latin = LATIN_BOLD if bold else LATIN
        if self.wide is not None and (self.always_wide or not _has_all(latin, text)):
            return self.wide
        return latin

    def drawable(self, text: str) -> str:
        """The text without what no font here can draw, in composed characters, on one line."""
        text = " ".join(unicodedata.normalize("NFC", text).split())
        glyphs = _glyphs(self.font_of(text))
        return "".join(letter if ord(letter) in glyphs else UNDRAWABLE for letter in text)

    def can_draw(self, text: str) -> bool:
        """Whether every letter can be drawn."""
        return self.drawable(text) == " ".join(unicodedata.normalize("NFC", text).split())

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Width of a line, in points."""
        return float(pdfmetrics.stringWidth(text, self.font_of(text, bold=bold), size))

    def shorten(self, text: str, size: float, room: float, *, bold: bool = False) -> str:
        """The text as it fits one line, cut with an ellipsis if need be."""
        text = self.drawable(text)
        if self.width(text, size, bold=bold) <= room:
            return text
        while text and self.width(text + ELLIPSIS, size, bold=bold) > room:
            text = text[:-1]
        return text.rstrip() + ELLIPSIS

    def wrap(self, text: str, size: float, room: float) -> list[str]:
        """The text in lines, broken at spaces, and anywhere in Chinese or in long words."""
        lines = [""]
        for piece in _pieces(self.drawable(text)):
            if self.width(lines[-1] + piece.rstrip(), size) <= room:
                lines[-1] += piece
                continue
            lines.append("")
            for letter in piece:
                if lines[-1] and self.width(lines[-1] + letter, size) > room:
                    lines.append("")
                lines[-1] += letter
        return [line.rstrip() for line in lines if line.strip()]


def find_typeface(language: str, font_file: Path | None = None) -> Typeface:
    """The fonts for a language.

    Parameters
    ----------
    language : str
        ``en`` or ``zh``.
    font_file : Path, optional
        A TrueType font with the letters of patients' names; without it a known one is looked for.

    Raises
    ------
    FontMissing
        If `font_file` cannot be used, or the language needs a font that is not there.
    """
    found = font_file or next((path for path in WIDE_FONT_FILES if path.is_file()), None)
    for name in (LATIN, LATIN_BOLD):
        _register(name, f"{name}.ttf")
    needed = language != "en"
    if found is None and needed:
        raise FontMissing(
            f"pages in language {language!r} need a TrueType font with its letters, and none is "
            "on this machine: on Debian install fonts-wqy-microhei, or set PULMONODE_FONT_FILE"
        )
    return Typeface(
        wide=None if found is None else _register(f"Wide-{found.stem}", str(found)),
        wide_file=found,
        always_wide=needed,
    )


@functools.lru_cache(maxsize=8)
def _register(name: str, path: str) -> str:
    """Make a font known to reportlab, which puts only the letters used into a PDF."""
    try:
        pdfmetrics.registerFont(TTFont(name, path))
    except (TTFError, OSError) as error:
        raise FontMissing(
            f"font file {path} cannot be used: {error}; a TrueType font is wanted (.ttf or .ttc, "
            "not PostScript outlines)"
        ) from error
    return name


def _has_all(font: str, text: str) -> bool:
    glyphs = _glyphs(font)
    return all(ord(letter) in glyphs for letter in text)


def _glyphs(font: str) -> Container[int]:
    """Code points that a font of this page draws."""
    glyphs: Mapping[int, int] = pdfmetrics.getFont(font).face.charToGlyph
    return glyphs


def _pieces(text: str) -> list[str]:
    """What must not be broken: words with the space after them, single wide letters."""
    pieces: list[str] = []
    for letter in text:
        wide = unicodedata.east_asian_width(letter) in "WF"
        if pieces and not wide and not pieces[-1].endswith(" ") and not _is_wide(pieces[-1]):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _is_wide(piece: str) -> bool:
    return unicodedata.east_asian_width(piece[-1]) in "WF"
