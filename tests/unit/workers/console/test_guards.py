"""What every request passes and every response carries; and one console as a process of its own."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from tests.conftest import missing
from tests.unit.workers.console.browser import PASSWORD, Browser, make_user, signed_in
from tests.unit.workers.console.live import LINK, LiveConsole
from tests.unit.workers.rows import with_settings
from workers.application import Application
from workers.console.app import create_app
from workers.console.guards import HTTPS_LASTS
from workers.console.rendering import TEMPLATES
from workers.log import keep_allowed
from workers.settings import Settings
from workers.state.access_tables import Role
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line, every_record

ME = at_the_command_line()


def configured(app: Application, **changes: object) -> Application:
    return replace(app, settings=with_settings(app.settings, **changes))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]", "[x]"]
)
def test_another_name_than_ours_is_refused(app: Application, host: str) -> None:
    """A page of another site that made its name point here (DNS rebinding) gets nothing."""
    answer = Browser(app).get("/sign-in", headers={"Host": host})

    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "pulmonode.example:443"]
)
def test_our_own_names_are_answered(app: Application, host: str) -> None:
    app = configured(app, console_allowed_hosts=("pulmonode.example",))

    assert Browser(app).get("/sign-in", headers={"Host": host}).status_code == 200


def test_every_answer_carries_the_headers_that_guard_it(app: Application) -> None:
    browser = signed_in(app)
    answers = [browser.get(path) for path in ("/", "/api/v1/me", "/nothing", "/static/console.css")]
    answers.append(browser.get("/", headers={"Host": "evil.example"}))

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    cached = [answer.headers["cache-control"] for answer in answers]
    assert cached == ["no-store", "no-store", "no-store", "private, max-age=3600", "no-store"]
    assert all("strict-transport-security" not in answer.headers for answer in answers)
    secure = Browser(app, base_url="https://localhost").get("/sign-in")
    assert secure.headers["strict-transport-security"].startswith("max-age=")


def test_pages_hold_no_script_and_no_style_of_their_own() -> None:
    """The policy would refuse them; so would a reader of the templates."""
    for file in TEMPLATES.glob("*.html"):
        html = file.read_text()

        assert "<script>" not in html, file.name
        assert "<style" not in html, file.name
        assert " style=" not in html, file.name
        assert " onclick=" not in html, file.name
        assert "http://" not in html, file.name
        assert "https://" not in html, file.name


def test_a_body_over_the_limit_is_refused_announced_or_not(app: Application) -> None:
    app = configured(app, console_body_limit_bytes=10_000, console_upload_limit_bytes=50_000)
    program = Browser(app, token=add_token(app, ME, "it", Role.ADMIN, days=1))
    body = b'{"wanted": "' + b"1" * 20_000 + b'"}'

    async def piecewise():  # type: ignore[no-untyped-def]
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    headers = {"Content-Type": "application/json"}
    announced = program.post("/api/v1/jobs/find", content=body, headers=headers)
    streamed = program.post("/api/v1/jobs/find", content=piecewise(), headers=headers)
    upload = program.post("/api/v1/rules/test", files={"files": ("a", body, "application/dicom")})

    assert (announced.status_code, announced.json()["code"]) == (413, "too_large")
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")
    assert upload.json()["code"] == "request_refused"  # no DICOM, but not too large


def test_an_upload_of_nobody_is_not_read(app: Application) -> None:
    """Else whoever reaches the port could fill the disk."""
    read = []

    async def piecewise():  # type: ignore[no-untyped-def]
        for number in range(3):
            read.append(number)
            yield b"x" * 1000

    answer = Browser(app).post(
        "/api/v1/rules/test",
        content=piecewise(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )

    assert answer.status_code == 401
    assert len(read) <= 1


def test_a_proxys_word_counts_only_where_it_is_trusted(app: Application) -> None:
    name = make_user(app, Role.VIEWER)
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    trusting = configured(app, console_trusted_proxies=("127.0.0.0/8",))
    for one in (app, trusting):
        browser = Browser(one)
        page = browser.get("/sign-in")
        proof = page.text.split('name="proof" value="')[1].split('"')[0]
        done = browser.post(
            "/sign-in", data={"name": name, "password": PASSWORD, "proof": proof}, headers=headers
        )
        assert done.status_code == 303
        assert ("Secure" in done.headers["set-cookie"]) is (one is trusting)

    with app.database.read() as session:
        addresses = [row["address"] for row in every_record(session) if row["action"] == "sign_in"]
    assert addresses[-2:] == ["127.0.0.1", "203.0.113.9"]


@pytest.mark.parametrize("stripped", [True, False])
def test_the_console_works_under_a_path_of_a_proxy(app: Application, stripped: bool) -> None:
    app = configured(app, console_root_path="/pulmonode")
    name = make_user(app, Role.VIEWER)
    before = "" if stripped else "/pulmonode"
    browser = Browser(app)

    led = browser.get(f"{before}/")
    page = browser.get(f"{before}/sign-in")

    assert led.headers["location"] == "/pulmonode/sign-in"
    assert 'action="/pulmonode/sign-in"' in page.text
    assert browser.get(f"{before}/static/console.css").status_code == 200
    proof = page.text.split('name="proof" value="')[1].split('"')[0]
    done = Browser(app).post(
        f"{before}/sign-in",
        data={"name": name, "password": PASSWORD, "proof": proof},
        headers={"Cookie": f"pulmonode_before={proof}"},
    )
    assert done.headers["location"] == "/pulmonode/"
    assert "Path=/pulmonode" in done.headers["set-cookie"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"console_host": "0.0.0.0"}, "passwords would go in clear text"),  # noqa: S104
        ({"console_host": "pacs.example"}, "passwords would go in clear text"),
        ({"console_tls_key": "/k"}, "belong together"),
        ({"console_trusted_proxies": "10.0.0.0/33"}, "10.0.0.0/33"),
        ({"console_root_path": "pulmonode/"}, "pattern"),
    ],
)
def test_settings_that_would_not_be_safe_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"console_host": "::1"},
        {"console_host": "0.0.0.0", "console_trusted_proxies": "10.0.0.0/8"},  # noqa: S104
        {"console_host": "0.0.0.0", "console_tls_key": "/k", "console_tls_certificate": "/c"},  # noqa: S104
        {"console_host": "0.0.0.0", "console_enabled": False},  # noqa: S104
    ],
)
def test_settings_that_are_safe_are_taken(changes: dict[str, object]) -> None:
    Settings(**changes)


def test_a_fault_of_ours_tells_nothing_of_itself_and_is_logged(app: Application) -> None:
    console = create_app(app)
    console.add_api_route("/api/v1/broken", _broken)

    with capture_logs(processors=[keep_allowed]) as lines:
        answer = Browser(app, asgi=console).get("/api/v1/broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "fault")
    assert "Doe" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert ("http_failed", "RuntimeError") in [(line["event"], line.get("error")) for line in lines]


def _broken() -> None:
    raise RuntimeError("what was it")


def test_the_log_names_a_request_by_its_pattern_and_not_by_what_came(app: Application) -> None:
    with capture_logs(processors=[keep_allowed]) as lines:
        browser = signed_in(app)
        browser.get("/api/v1/jobs?text=Doe^Jane")
        browser.get("/jobs/7?text=Doe^Jane")
        browser.get("/Doe^Jane")
        browser.get("/link/secret-of-a-link")

    requests = [line for line in lines if line["event"] == "http_request"]
    assert {"/api/v1/jobs", "/link/{token}", "unknown"} <= {line["route"] for line in requests}
    assert all("dropped_keys" not in line for line in requests)
    assert "Doe" not in json.dumps(lines)
    assert "secret-of-a-link" not in json.dumps(lines)


OFFERS = [
    # lowest and highest version that a browser offers, its suites of TLS 1.2, what becomes of it
    (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
    (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
    (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:!AESCCM", False),
    (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
]


def shakes_hands(url: str, authority: Path, offer: tuple[Any, Any, str, bool]) -> bool:
    """Whether a console takes a browser that offers no more than this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(authority))
    context.set_ciphers(offer[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TLS 1.1, which is the point
        context.minimum_version, context.maximum_version = offer[:2]
    asked = httpx.URL(url)
    with socket.create_connection((asked.host, asked.port or 443), 10) as line:
        try:
            context.wrap_socket(line, server_hostname=asked.host).close()
        except (ssl.SSLError, ConnectionError):
            return False
    return True


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody signed but itself."""
    if shutil.which("openssl") is None:
        missing("openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def test_a_console_of_its_own_speaks_https_lets_the_first_admin_in_and_logs_no_secret(
    app: Application, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path)
    environment = {
        "PULMONODE_CONSOLE_TLS_CERTIFICATE": str(cert),
        "PULMONODE_CONSOLE_TLS_KEY": str(key),
    }
    with LiveConsole(app.settings.data_dir, tmp_path, environment) as live:
        found = LINK.search(live.printed)
        assert found is not None
        token = found[1]
        trusted = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=live.url, verify=trusted) as client:
            page = client.get(f"/link/{token}")
            proof = page.text.split('name="proof" value="')[1].split('"')[0]
            done = client.post(
                f"/link/{token}", data={"password": PASSWORD, "again": PASSWORD, "proof": proof}
            )
            shown = client.get("/")
            session = client.cookies["pulmonode_session"]
        answers = [shakes_hands(live.url, cert, offer) for offer in OFFERS]
        live.process.terminate()
        ended = live.process.wait(timeout=30)
        said = live.raw_log

    assert found[0].startswith(f"{live.url}/link/")
    assert (done.status_code, shown.status_code, ended) == (303, 200, 0)
    for cookie in done.headers.get_list("set-cookie"):
        assert {"Secure", "HttpOnly", "SameSite=lax"} <= set(cookie.split("; ")), cookie
    assert shown.headers["strict-transport-security"] == HTTPS_LASTS
    assert answers == [answer for _, _, _, answer in OFFERS]
    for secret in (token, session, PASSWORD, proof):
        assert secret not in said
    assert [line["event"] for line in live.log][-1] == "console_stopped"
