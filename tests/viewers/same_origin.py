"""OHIF and Orthanc's DICOMweb on one origin, as a hospital's reverse proxy would serve them.

The viewer needs `SharedArrayBuffer`, which a browser only gives to a page that is isolated from
other origins (COOP, COEP); so page and images must come from one place with these headers.
"""

from __future__ import annotations

import http.client
import mimetypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MEDIA_TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}
PASSED_ON = ("Accept", "Content-Type")
UPSTREAM_LIMIT_S = 60.0


class SameOrigin(BaseHTTPRequestHandler):
    """Files of one folder; everything under ``/dicom-web`` from Orthanc."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, dist: Path, config: bytes, upstream_port: int) -> None:
        self.dist = dist
        self.config = config
        self.upstream_port = upstream_port
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/dicom-web/"):
            self._from_orthanc()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", self.config)
        else:
            self._from_disk(path)

    def do_POST(self) -> None:
        """What the viewer saves (STOW-RS)."""
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/dicom-web/"):
            self._answer(404, "text/plain", b"")
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._from_orthanc("POST", body)

    def _from_disk(self, path: str) -> None:
        """A file, or the page itself for the addresses that the viewer makes up."""
        file = (self.dist / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.dist) or not file.is_file():
            if file.suffix:
                self._answer(404, "text/plain", b"")
                return
            file = self.dist / "index.html"
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=3600")  # the second study opens faster
        self._describe(_media_type(file), file.stat().st_size)
        with file.open("rb") as source:
            shutil.copyfileobj(source, self.wfile)

    def _from_orthanc(self, method: str = "GET", body: bytes | None = None) -> None:
        upstream = http.client.HTTPConnection(
            "127.0.0.1", self.upstream_port, timeout=UPSTREAM_LIMIT_S
        )
        asked = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        try:
            upstream.request(method, self.path, body, headers=asked)
            answer = upstream.getresponse()
            content_type = answer.getheader("Content-Type", "application/octet-stream")
            self._answer(answer.status, content_type, answer.read())
        finally:
            upstream.close()

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self._describe(content_type, len(body))
        self.wfile.write(body)

    def _describe(self, content_type: str, size: int) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are the browser's business; a test that fails reads its console."""


@contextmanager
def serve(dist: Path, config: bytes, upstream_port: int) -> Iterator[str]:
    """Serve on a port of its own; yields the origin."""
    handler = partial(SameOrigin, dist=dist.resolve(), config=config, upstream_port=upstream_port)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _media_type(file: Path) -> str:
    return MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file)[0] or "text/plain"
