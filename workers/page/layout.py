"""Puts the content of a page on one sheet of A4, whatever its length.

Blocks at the top and the bottom take what they need; the table shrinks its rows, pictures take
what is left, and what has no room is counted, never dropped in silence.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL.Image import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from workers.page.content import Box, Fact, NoduleRow, PageContent, PagePicture
from workers.page.typeface import Typeface

Colour = tuple[float, float, float]
WIDTH, HEIGHT = A4
MARGIN = 30.0
ROOM = WIDTH - 2 * MARGIN
GAP = 8.0
BAR_HEIGHT = 18.0
INK: Colour = (0.10, 0.12, 0.15)
GREY: Colour = (0.42, 0.45, 0.50)
RULE: Colour = (0.82, 0.84, 0.87)
SHADE: Colour = (0.945, 0.953, 0.965)
ALARM: Colour = (0.62, 0.11, 0.13)
CAUTION: Colour = (1.0, 0.93, 0.78)
LEVEL_COLOURS: tuple[Colour, ...] = (
    (0.74, 0.84, 0.91), (0.42, 0.68, 0.84), (0.13, 0.44, 0.71), (0.03, 0.19, 0.42),
)  # fmt: skip
"""Levels I to IV from light to dark, in order also without colour."""
RISES: Colour = (0.80, 0.35, 0.20)
FALLS: Colour = (0.25, 0.55, 0.45)
SUBJECT_COLUMNS = 4
TABLE_TALLEST_ROW, TABLE_LOWEST_ROW = 15.0, 8.6
TABLE_HEIGHT_AT_MOST = 330.0
COLUMN_SHARES = (0.04, 0.15, 0.10, 0.11, 0.075, 0.09, 0.085, 0.125, 0.075, 0.085, 0.065)
PROBABILITIES_COLUMN = 7
PICTURES_LOWEST = 60.0
PICTURES_TALLEST = 360.0
TILE_GAP = 2.0
CAPTION = 11.0
BOX_LINE = 10.5
BOX_SIZE = 7.0
BAR_NAME_SHARE = 0.34
FOLLOW_UP_AT_MOST = 6
"""Lines."""
NOTES_LINE = 8.4
NOTES_SIZE = 6.2
NOTES_AT_LEAST, NOTES_AT_MOST = 4, 16
"""Lines."""
JPEG_QUALITY = 88
PRINTED_DPI = 220


def draw_page(content: PageContent, typeface: Typeface) -> bytes:
    """Draw a page.

    Parameters
    ----------
    content : PageContent
        Of any length.
    typeface : Typeface
        The fonts for its language.

    Returns
    -------
    bytes
        A PDF of one page and an even number of bytes (an Encapsulated Document is padded to
        one, and some readers give the padding back); equal content gives equal bytes.
    """
    buffer = io.BytesIO()
    canvas = Canvas(
        buffer,
        pagesize=A4,
        invariant=1,
        pageCompression=1,
        lang=content.language,
        initialFontName=typeface.font_of(content.title),  # else one is named that is not used
    )
    canvas.setTitle(f"{content.title} - {content.warning}")
    canvas.setCreator("Pulmonode")
    canvas.setAuthor("Pulmonode")
    _Page(canvas, content, typeface).draw()
    canvas.showPage()
    canvas.save()
    data = buffer.getvalue()
    return data if len(data) % 2 == 0 else data + b"\n"


class _Page:
    """One page while it is drawn; `top` sinks and `bottom` rises towards each other."""

    def __init__(self, canvas: Canvas, content: PageContent, typeface: Typeface) -> None:
        self.canvas = canvas
        self.content = content
        self.typeface = typeface
        self.top = HEIGHT
        self.bottom = 0.0

    def draw(self) -> None:
        content = self.content
        self._warn(HEIGHT - BAR_HEIGHT)
        self._warn(0.0)
        self.top = HEIGHT - BAR_HEIGHT - 22
        self.bottom = BAR_HEIGHT + 6
        self._title()
        self._subject(content.subject)
        self._summary()
        self._versions()
        notes = self._fit_notes()
        table = self._table_height()
        boxes = max((self._box_height(box) for box in content.boxes), default=0.0)
        pictures = PICTURES_LOWEST if content.pictures else 0.0
        follow_up = self._fit_follow_up()
        before = self._box_height(follow_up) + GAP if follow_up else 0.0
        room = self.top - self.bottom - table - boxes - before - pictures - 4 * GAP
        lines = max(NOTES_AT_LEAST, min(len(notes), NOTES_AT_MOST, int(room / NOTES_LINE) - 2))
        self._notes(notes, lines)
        self._boxes(boxes)
        if follow_up is not None:
            self._box(follow_up, MARGIN, self.bottom + before - GAP, ROOM, NOTES_SIZE)
            self.bottom += before
        self._table()
        self._pictures()

    def _warn(self, y: float) -> None:
        self._fill(ALARM, 0, y, WIDTH, BAR_HEIGHT)
        self._centred(self.content.warning, WIDTH / 2, y + 5.5, 10, (1, 1, 1), bold=True)

    def _title(self) -> None:
        made = self._write(self.content.made, WIDTH - MARGIN, self.top, 7, GREY, right=True)
        self._write(
            self.content.title, MARGIN, self.top, 14, INK, bold=True, room=ROOM - made - GAP
        )
        self.top -= 10

    def _subject(self, facts: Sequence[Fact]) -> None:
        column = ROOM / SUBJECT_COLUMNS
        rows = -(-len(facts) // SUBJECT_COLUMNS)
        for index, fact in enumerate(facts):
            row, place = divmod(index, SUBJECT_COLUMNS)
            x, y = MARGIN + place * column, self.top - row * 20
            self._write(fact.name, x, y - 6, 5.8, GREY, room=column - 6)
            self._write(fact.value, x, y - 15, 7.4, INK, room=column - 6)
        self.top -= rows * 20 + 2

    def _summary(self) -> None:
        parts = [(self.content.summary, SHADE), (self.content.caution, CAUTION)]
        for text, colour in parts:
            if text is None:
                continue
            lines = self.typeface.wrap(text, 9, ROOM - 16)[:3]
            height = 12 * len(lines) + 9
            self._fill(colour, MARGIN, self.top - height, ROOM, height)
            for index, line in enumerate(lines):
                self._write(line, MARGIN + 8, self.top - 13 - 12 * index, 9, INK)
            self.top -= height + 4
        self.top -= 2

    def _versions(self) -> None:
        lines = self.typeface.wrap(self.content.versions, 6, ROOM)[:3]
        for index, line in enumerate(reversed(lines)):
            self._write(line, MARGIN, self.bottom + 7 * index, 6, GREY)
        self.bottom += 7 * len(lines) + 3

    def _fit_notes(self) -> list[tuple[int, str]]:
        """Wrapped lines of the notes, each with the index of the note that it is of."""
        return [
            (index, ("- " if first else "  ") + line)
            for index, note in enumerate(self.content.notes.lines)
            for first, line in _with_first(self.typeface.wrap(note, NOTES_SIZE, ROOM - 10))
        ]

    def _notes(self, notes: list[tuple[int, str]], lines: int) -> None:
        if not notes:
            return
        shown = notes
        if len(notes) > lines:
            shown = notes[: lines - 1]
            while shown and notes[len(shown)][0] == shown[-1][0]:
                shown = shown[:-1]  # never half a note
            left = len(self.content.notes.lines) - len({index for index, _ in shown})
            shown = [*shown, (-1, self.content.more.format(count=left))]
        y = self.bottom + NOTES_LINE * len(shown)
        self._write(self.content.notes.title, MARGIN, y + 3, 7.6, INK, bold=True)
        for index, (_, line) in enumerate(shown):
            self._write(line, MARGIN, y - NOTES_LINE * (index + 1) + 2, NOTES_SIZE, INK)
        self.bottom = y + 12 + GAP

    def _fit_follow_up(self) -> Box | None:
        """What is said of an earlier examination, as many lines as there is room for."""
        box = self.content.follow_up
        if box is None or len(box.lines) <= FOLLOW_UP_AT_MOST:
            return box
        shown = box.lines[: FOLLOW_UP_AT_MOST - 1]
        left = self.content.more.format(count=len(box.lines) - len(shown))
        return replace(box, lines=(*shown, left))

    def _box_height(self, box: Box) -> float:
        return BOX_LINE * (len(box.lines) + len(box.bars)) + 16

    def _boxes(self, height: float) -> None:
        boxes = self.content.boxes
        if not boxes:
            return
        width = (ROOM - GAP * (len(boxes) - 1)) / len(boxes)
        for index, box in enumerate(boxes):
            self._box(box, MARGIN + index * (width + GAP), self.bottom + height, width)
        self.bottom += height + GAP

    def _box(self, box: Box, x: float, top: float, width: float, size: float = BOX_SIZE) -> None:
        self._write(box.title, x, top - 9, 7.6, INK, bold=True, room=width)
        y = top - 14
        largest = max((abs(bar.value) for bar in box.bars), default=0.0) or 1.0
        names = BAR_NAME_SHARE * width
        middle = x + names + (width - names) / 2
        reach = (width - names) / 2 - 24
        for bar in box.bars:
            y -= BOX_LINE
            length = reach * bar.value / largest
            self._write(bar.name, x, y + 2.5, 7, INK, room=names - 4)
            self._fill(
                RISES if bar.value > 0 else FALLS, middle + min(length, 0), y + 1, abs(length), 7
            )
            end = middle + length + (3 if bar.value >= 0 else -3)
            self._write(bar.text, end, y + 2.5, 7, INK, right=bar.value < 0)
        if box.bars:
            self._line(middle, y, middle, top - 14)
        for line in box.lines:
            y -= BOX_LINE
            self._write(line, x, y + 2.5, size, INK, room=width)

    def _table_height(self) -> float:
        rows = len(self.content.rows)
        return 0.0 if not rows else 16 + min(rows * TABLE_TALLEST_ROW, TABLE_HEIGHT_AT_MOST) + GAP

    def _table(self) -> None:
        rows = self.content.rows
        if not rows:
            return
        room = min(
            TABLE_HEIGHT_AT_MOST,
            self.top - self.bottom - 16 - GAP - (PICTURES_LOWEST if self.content.pictures else 0),
        )
        height = max(TABLE_LOWEST_ROW, min(TABLE_TALLEST_ROW, room / len(rows)))
        fitting = int(room / height + 1e-6)
        shown = rows if len(rows) <= fitting else rows[: fitting - 1]
        size = min(7.4, 0.66 * height)
        self._fill(SHADE, MARGIN, self.top - 14, ROOM, 14)
        for x, width, text in zip(*self._columns(), self.content.columns, strict=True):
            self._write(text, x, self.top - 10, 6, GREY, room=width - 4)
        self.top -= 14
        for row in shown:
            self._row(row, height, size)
        if len(shown) < len(rows):
            self.top -= height
            left = self.content.more.format(count=len(rows) - len(shown))
            self._write(left, MARGIN + 4, self.top + 0.28 * height, size, GREY)
        self.top -= GAP

    def _columns(self) -> tuple[list[float], list[float]]:
        widths = [share * ROOM for share in COLUMN_SHARES]
        lefts = [MARGIN + 4 + sum(widths[:index]) for index in range(len(widths))]
        return lefts, widths

    def _row(self, row: NoduleRow, height: float, size: float) -> None:
        texts = [
            row.number, row.place, row.nodule_type, row.axes, row.mean, row.volume, row.level,
            None, row.suspicion, row.lung_rads, row.brock,
        ]  # fmt: skip
        y = self.top - height + 0.28 * height
        for x, width, text in zip(*self._columns(), texts, strict=True):
            if text is None:
                self._probabilities(row.probabilities, x, y - 0.5, width - 8, 0.55 * height)
            else:
                self._write(text, x, y, size, INK, room=width - 4)
        self.top -= height
        self._line(MARGIN, self.top, MARGIN + ROOM, self.top)

    def _probabilities(
        self, probabilities: Sequence[float], x: float, y: float, width: float, height: float
    ) -> None:
        for value, colour in zip(probabilities, LEVEL_COLOURS, strict=False):
            self._fill(colour, x, y, value * width, height)
            x += value * width

    def _pictures(self) -> None:
        pictures = self.content.pictures
        note = 10.0 if self.content.pictures_note else 0.0
        height = min(self.top - self.bottom - CAPTION - note, PICTURES_TALLEST)
        if pictures and height >= PICTURES_LOWEST - CAPTION - note:
            width = (ROOM - GAP * (len(pictures) - 1)) / len(pictures)
            used = 0.0
            for index, picture in enumerate(pictures):
                x = MARGIN + index * (width + GAP)
                self._write(picture.caption, x, self.top - 8, 7, INK, room=width)
                used = max(used, self._tiles(picture, x, self.top - CAPTION, width, height))
            self.top -= CAPTION + used + 2
        if note:
            self._write(self.content.pictures_note, MARGIN, self.top - 7, 7, GREY, room=ROOM)

    def _tiles(
        self, picture: PagePicture, x: float, top: float, width: float, height: float
    ) -> float:
        """One large tile and the others in a column beside it or a row below; height used."""
        first, *others = picture.tiles
        count = len(others)
        beside = min(height, (width - TILE_GAP) * count / (count + 1))
        below = min(width, (height - TILE_GAP) * count / (count + 1))
        large = max(beside, below)
        small = (large - TILE_GAP * (count - 1)) / count
        self._picture(first, x, top - large, large)
        for index, tile in enumerate(others):
            step = index * (small + TILE_GAP)
            if below > beside:
                self._picture(tile, x + step, top - large - TILE_GAP - small, small)
            else:
                self._picture(tile, x + large + TILE_GAP, top - step - small, small)
        return large + TILE_GAP + small if below > beside else large

    def _picture(self, tile: Image, x: float, y: float, side: float) -> None:
        """A tile as JPEG: an illustration, a tenth as large, and quickly made."""
        pixels = round(side / 72 * PRINTED_DPI)
        if pixels < tile.width:
            tile = tile.resize((pixels, pixels), reducing_gap=2.0)
        buffer = io.BytesIO()
        tile.save(buffer, "JPEG", quality=JPEG_QUALITY)
        self.canvas.drawImage(ImageReader(buffer), x, y, side, side)

    def _fill(self, colour: Colour, x: float, y: float, width: float, height: float) -> None:
        self.canvas.setFillColorRGB(*colour)
        self.canvas.rect(x, y, width, height, stroke=0, fill=1)

    def _line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.canvas.setStrokeColorRGB(*RULE)
        self.canvas.setLineWidth(0.4)
        self.canvas.line(x0, y0, x1, y1)

    def _centred(
        self, text: str, x: float, y: float, size: float, colour: Colour, *, bold: bool
    ) -> None:
        text = self.typeface.drawable(text)
        width = self.typeface.width(text, size, bold=bold)
        self._write(text, x - width / 2, y, size, colour, bold=bold)

    def _write(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        colour: Colour,
        *,
        bold: bool = False,
        right: bool = False,
        room: float = ROOM,
    ) -> float:
        """Write one line that is not wider than `room`; its width."""
        text = self.typeface.shorten(text, size, room, bold=bold)
        width = self.typeface.width(text, size, bold=bold)
        self.canvas.setFillColorRGB(*colour)
        self.canvas.setFont(self.typeface.font_of(text, bold=bold), size)
        self.canvas.drawString(x - width if right else x, y, text)
        return width


def _with_first(lines: Sequence[str]) -> list[tuple[bool, str]]:
    return [(index == 0, line) for index, line in enumerate(lines)]
