"""The whole service with its console, two destinations, and a browser before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from dicom_node.deliver.peer import Peer
from dicom_node.mini_pacs import MiniPacs
from tests.conftest import REPOSITORY, need_program
from tests.integration.bad_series import renamed, save
from tests.integration.service import Service, free_port, wait_for

LIMIT_MS = 120_000.0
"""For any one thing to appear; seconds on a quiet machine."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LINK = re.compile(r"http://127\.0\.0\.1:\d+/link/[\w-]+")
PASSWORD = "correct horse battery"  # noqa: S105 - of users that the test makes
PICTURES = REPOSITORY / "build/console"
"""Where each run leaves what it saw, to be looked at."""
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1360, "height": 850}


@dataclass(slots=True)
class Site:
    """What the tests share.

    Attributes
    ----------
    complaints : list of str
        Errors of pages, console and requests, and requests to other hosts; nobody takes any away
        but `expecting`.
    """

    service: Service
    console_port: int
    archive: MiniPacs
    browser: Browser
    scratch: Path
    phantom: Sequence[Path]
    complaints: list[str] = field(default_factory=list)
    contexts: dict[str, BrowserContext] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.console_port}"

    def context(self, name: str, **options: object) -> BrowserContext:
        """A browser of somebody's own: cookies, and complaints noted."""
        if name not in self.contexts:
            made = self.browser.new_context(viewport=DESK, reduced_motion="reduce", **options)  # type: ignore[arg-type]
            made.set_default_timeout(LIMIT_MS)
            made.on("page", lambda page: self._listen(page))
            self.contexts[name] = made
        return self.contexts[name]

    def page(self, name: str = "admin") -> Page:
        """A new page of somebody."""
        return self.context(name).new_page()

    def _listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("response", lambda answer: self._note_answer(answer))
        page.on("request", lambda request: self._note_host(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(f"console: {text}")

    def _note_answer(self, answer: Response) -> None:
        if answer.status >= 400:
            self.complaints.append(f"{answer.status}: {answer.url}")

    def _note_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "about"} and parts.netloc != urlsplit(self.origin).netloc:
            self.complaints.append(f"another host: {url}")

    @contextmanager
    def expecting(self, *words: str) -> Iterator[None]:
        """Let go the complaints that a test provokes; each of the words must be among them."""
        before = len(self.complaints)
        yield
        new = self.complaints[before:]
        assert all(any(word in line for line in new) for word in words), new
        del self.complaints[before:]

    def first_link(self) -> str:
        """The link that the console printed at its first start."""
        return str(
            wait_for(
                lambda: (LINK.findall(self.service.log.read_text()) or [""])[0],
                limit_s=60,
                message="the console prints its link",
            )
        )

    def send_study(self, key: str) -> str:
        """Route the phantom's series under identities of its own; its Series Instance UID."""
        datasets = renamed(self.phantom, key)
        self.service.send(save(datasets, self.scratch / key))
        return str(datasets[0].SeriesInstanceUID)

    def job_of(self, series_uid: str) -> int:
        """Number of a series' job, as soon as there is one."""

        def found() -> int:
            rows = self.service.jobs(limit=20)
            return next((row["id"] for row in rows if row["series_instance_uid"] == series_uid), 0)

        return int(wait_for(found, limit_s=60, message="the job is there"))

    def restart_archive(self) -> None:
        """Bring the second destination up again, on its port."""
        self.archive = _archive(self.scratch / "archive-again", self.archive.port, self.service)

    def picture(self, page: Page, name: str) -> None:
        """Leave a screenshot of the whole page."""
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def _archive(folder: Path, port: int, service: Service) -> MiniPacs:
    archive = MiniPacs(
        folder=folder, ae_title="ARCHIVE", port=port, commitment_peer=_peer(service.port)
    )
    archive.start()
    return archive


def _peer(port: int) -> Peer:
    return Peer(ae_title="PULMONODE", host="127.0.0.1", port=port)


@contextmanager
def site(folder: Path, phantom: Sequence[Path]) -> Iterator[Site]:
    """Start all of it, loopback only; stop all of it."""
    chromium = need_program("chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    console_port, dicom_port, archive_port = free_port(), free_port(), free_port()
    pacs = MiniPacs(
        folder=folder / "pacs", ae_title="PACS", port=free_port(), commitment_peer=_peer(dicom_port)
    )
    destinations = [
        {"name": name, "ae_title": name.upper(), "host": "127.0.0.1", "port": port}
        for name, port in (("pacs", pacs.port), ("archive", archive_port))
    ]
    service = Service(
        folder=folder,
        port=dicom_port,
        destinations=destinations,
        environment={
            "PULMONODE_CONSOLE_ENABLED": "true",
            "PULMONODE_CONSOLE_PORT": str(console_port),
            "PULMONODE_METRICS_ENABLED": "false",
            "PULMONODE_MAX_DELIVERY_ATTEMPTS": "2",
        },
    )
    stops: list[Callable[[], None]] = []
    try:
        pacs.start()
        stops.append(pacs.stop)
        archive = _archive(folder / "archive", archive_port, service)
        stops.append(service.stop)
        service.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            made = Site(
                service=service,
                console_port=console_port,
                archive=archive,
                browser=browser,
                scratch=folder,
                phantom=phantom,
            )
            stops.append(lambda: made.archive.stop())
            yield made
            browser.close()
    finally:
        for stop in reversed(stops):
            stop()
