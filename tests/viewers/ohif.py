"""The OHIF viewer in a real browser: opens studies, and tells what is drawn."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from tests.conftest import missing, need_program
from tests.integration.service import free_port
from tests.viewers.orthanc import Archive, archive
from tests.viewers.same_origin import serve

VERSION = "3.13.2"
"""As in deploy/setup/ohif.sh."""
HERE = Path(__file__).parent
LIMIT_MS = 240_000.0
"""For any one thing to appear; seconds on a quiet machine."""
LEAST_COLOUR = 20
"""Difference between the channels of a pixel that makes it overlay and not CT."""
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What is coloured in the picture of one slice."""

    pixels: int
    centre_lps_mm: tuple[float, ...] | None


@dataclass(slots=True, kw_only=True)
class Viewer:
    """One page of the browser, and the archive behind it."""

    page: Page
    origin: str
    archive: Archive
    complaints: list[str] = field(default_factory=list)
    """Errors of page, console and requests, since the last `open_study`."""
    warnings: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note every error from now on."""
        page = self.page
        page.set_default_timeout(LIMIT_MS)
        page.add_init_script(NO_TOUR)
        page.add_init_script(path=HERE / "in_page.js")
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.on("requestfailed", lambda each: self.complaints.append(f"failed: {each.url}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("response", lambda answer: self._note_answer(answer.status, answer.url))

    def _note_answer(self, status: int, url: str) -> None:
        if status >= 400:
            self.complaints.append(f"{status}: {url}")

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(f"console: {text}")
        elif kind == "warning":
            self.warnings.append(text)

    def open_study(self, study_uid: str) -> None:
        """Open a study and wait for its first picture."""
        self.page.goto("about:blank")  # what it breaks off does not count
        self.complaints.clear()
        self.warnings.clear()
        self.page.goto(
            f"{self.origin}/viewer?StudyInstanceUIDs={study_uid}", wait_until="domcontentloaded"
        )
        self.page.wait_for_function("window.shown?.instance() && window.shown.greys() > 50")

    def open_series(self, description: str) -> None:
        """Double-click a series in the list, by its description."""
        label = self.page.get_by_test_id("series-description-label").filter(has_text=description)
        label.dblclick()

    def open_panel(self, button: str) -> None:
        """Open a panel at the right side, by the name of its button."""
        self.page.get_by_test_id(button).click()

    def wait_for(self, condition: str) -> None:
        """Wait until an expression over ``shown`` is true."""
        self.page.wait_for_function(condition)

    def go_to(self, sop_instance_uid: str) -> None:
        """Scroll to a slice."""
        self.page.evaluate("uid => window.shown.goTo(uid)", sop_instance_uid)
        self.wait_for(f"window.shown.instance() === '{sop_instance_uid}'")

    def tell(self, what: str) -> Any:
        """What a function of ``in_page.js`` without arguments returns."""
        return self.page.evaluate(f"window.shown.{what}()")

    def overlay(self) -> Overlay:
        """What is coloured, once two looks in a row see the same."""
        before: Overlay | None = None
        deadline = time.monotonic() + LIMIT_MS / 1000
        while time.monotonic() < deadline:
            found = self.page.evaluate("least => window.shown.overlay(least)", LEAST_COLOUR)
            centre = found["centre_lps_mm"]
            now = Overlay(
                pixels=found["count"], centre_lps_mm=None if centre is None else tuple(centre)
            )
            if now == before:
                return now
            before = now
            self.page.wait_for_timeout(150)
        raise AssertionError("the picture does not come to rest")

    def text(self) -> str:
        """The words in the viewing area."""
        return self.page.get_by_test_id("viewport-pane").inner_text()


def need_ohif() -> Path:
    """The folder with OHIF's ready pages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    dist = cache / "pulmonode" / f"ohif-{VERSION}" / "dist"
    if not (dist / "index.html").is_file():
        missing(f"OHIF {VERSION} in {dist} (deploy/setup/ohif.sh)")
    return dist


@contextmanager
def viewer(folder: Path) -> Iterator[Viewer]:
    """OHIF before an empty Orthanc in `folder`, in a browser of its own, loopback only."""
    dist, chromium = need_ohif(), need_program("chromium")
    config = (HERE / "app_config.js").read_bytes()
    port = free_port()
    with (
        serve(dist, config, port) as origin,
        archive(folder, http_port=port, seen_at=urlsplit(origin).netloc) as found,
        sync_playwright() as playwright,
    ):
        playwright.selectors.set_test_id_attribute("data-cy")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 950})
        shown = Viewer(page=page, origin=origin, archive=found)
        shown.listen()
        yield shown
        browser.close()
