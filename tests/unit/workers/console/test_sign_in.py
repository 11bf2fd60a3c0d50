"""Getting in and out: passwords, links, sessions, guesses, and what a browser keeps of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.unit.workers.console.browser import PASSWORD, Browser, make_user, signed_in
from tests.unit.workers.rows import count, with_settings
from workers import clock
from workers.application import Application
from workers.state.access_tables import ConsoleSession, Role
from workers.usecases import accounts
from workers.usecases.accounts import first_link, make_link, set_disabled, set_password
from workers.usecases.audit import at_the_command_line, list_audit
from workers.usecases.sign_in import FORGET_S

ME = at_the_command_line()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds by which the clock is ahead: one number that a test changes."""
    ahead, real = [0.0], clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + ahead[0])
    return ahead


def with_settings_of(app: Application, **changes: object) -> Application:
    return replace(app, settings=with_settings(app.settings, **changes))


def audited(app: Application) -> list[tuple[str, str, str]]:
    with app.database.read() as session:
        return [(row["who"], row["action"], row["outcome"]) for row in list_audit(session)]


def test_whoever_is_not_signed_in_is_led_to_the_sign_in_page_and_back(app: Application) -> None:
    name = make_user(app, Role.VIEWER)
    browser = Browser(app)

    led = browser.get("/")
    back = browser.submit("/sign-in?then=/jobs/3", name=name, password=PASSWORD)

    assert (led.status_code, led.headers["location"]) == (303, "/sign-in")
    assert (back.status_code, back.headers["location"]) == (303, "/jobs/3")
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_signing_in_leads_nowhere_else(app: Application, elsewhere: str) -> None:
    name = make_user(app, Role.VIEWER)

    done = Browser(app).submit("/sign-in", name=name, password=PASSWORD, then=elsewhere)

    assert done.headers["location"] == "/"


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(app: Application) -> None:
    name = make_user(app, Role.VIEWER)

    wrong = Browser(app).sign_in(name, "another password")
    unknown = Browser(app).sign_in("nobody", "another password")

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "User name or password is wrong." in wrong.text
    assert wrong.text.replace(_proof(wrong.text), "") == unknown.text.replace(
        _proof(unknown.text), ""
    )


def _proof(html: str) -> str:
    return html.split('name="proof" value="')[1].split('"')[0]


def test_what_was_typed_as_a_name_is_not_audited(app: Application) -> None:
    Browser(app).sign_in("my-password-in-the-wrong-field", "x")

    assert audited(app) == [("unknown", "sign_in", "refused")]


def test_each_sign_in_makes_a_new_session_whatever_the_browser_came_with(app: Application) -> None:
    name = make_user(app, Role.VIEWER)
    browser = Browser(app)
    browser.session = "planted"

    browser.sign_in(name)
    first = str(browser.session)
    browser.sign_in(name)
    second = str(browser.session)

    assert len({"planted", first, second}) == 3
    assert Browser(app, session="planted").get("/").status_code == 303


def test_a_sign_in_form_that_another_site_made_is_refused(app: Application) -> None:
    name = make_user(app, Role.VIEWER)
    browser = Browser(app)

    done = browser.post(
        "/sign-in", data={"name": name, "password": PASSWORD, "proof": "made elsewhere"}
    )

    assert done.status_code == 403
    assert browser.session is None


def test_signing_out_ends_the_session_itself(app: Application) -> None:
    browser = signed_in(app)
    copied = Browser(app, session=str(browser.session))
    before = copied.get("/").status_code

    browser.submit("/", "/sign-out")

    assert (before, copied.get("/").status_code) == (200, 303)
    assert browser.session is None


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(
    app: Application, later: list[float]
) -> None:
    app = with_settings_of(app, console_session_idle_s=600, console_session_limit_s=1500)
    browser = signed_in(app)
    statuses = []
    for seconds in (500, 1000, 1450, 1500):
        later[0] = seconds
        statuses.append(browser.get("/").status_code)
    other = Browser(app)
    other.sign_in("the-admin")
    later[0] += 600
    idle = other.get("/").status_code

    assert (statuses, idle) == ([200, 200, 200, 303], 303)


def test_a_page_that_asks_by_itself_does_not_stay_signed_in(
    app: Application, later: list[float]
) -> None:
    app = with_settings_of(app, console_session_idle_s=600)
    browser = signed_in(app)
    statuses = []
    for seconds in (300, 590, 610):
        later[0] = seconds
        quiet = browser.get("/", headers={"X-Pulmonode-Refresh": "1"})
        statuses.append(quiet.status_code)

    assert statuses == [200, 200, 401]


def test_a_user_is_shut_out_at_once(app: Application) -> None:
    make_user(app, Role.ADMIN, "other")
    browser = signed_in(app)

    set_disabled(app, ME, "the-admin", disabled=True)

    assert browser.get("/").status_code == 303
    assert browser.sign_in("the-admin").status_code == 401


def test_a_new_password_signs_out_everywhere(app: Application) -> None:
    browser = signed_in(app)

    set_password(app, ME, "the-admin", "another good password")

    assert browser.get("/").status_code == 303
    assert browser.sign_in("the-admin").status_code == 401
    assert browser.sign_in("the-admin", "another good password").status_code == 303


def test_a_user_who_failed_too_often_waits_even_with_the_right_password(
    app: Application, later: list[float]
) -> None:
    app = with_settings_of(app, console_sign_ins_per_user=2, console_sign_in_window_s=900)
    name = make_user(app, Role.VIEWER)
    failed = [Browser(app, address=f"10.0.0.{n}").sign_in(name, "wrong") for n in (1, 2)]
    refused = Browser(app).sign_in(name)
    later[0] = 901
    after = Browser(app).sign_in(name)

    assert [item.status_code for item in failed] == [401, 401]
    assert (refused.status_code, after.status_code) == (429, 303)
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert "too many failed sign-ins" in refused.text.lower()


def test_an_address_that_guesses_many_names_waits_and_others_do_not(app: Application) -> None:
    app = with_settings_of(app, console_sign_ins_per_address=3)
    name = make_user(app, Role.VIEWER)
    for n in range(3):
        Browser(app, address="10.0.0.1").sign_in(f"guess{n}", "wrong")

    assert Browser(app, address="10.0.0.1").sign_in(name).status_code == 429
    assert Browser(app, address="10.0.0.2").sign_in(name).status_code == 303


def test_signing_in_forgives_the_failures_before(app: Application) -> None:
    app = with_settings_of(app, console_sign_ins_per_user=2)
    name = make_user(app, Role.VIEWER)

    statuses = [
        Browser(app).sign_in(name, password).status_code
        for password in ("wrong", PASSWORD, "wrong", PASSWORD)
    ]

    assert statuses == [401, 303, 401, 303]


def test_the_first_link_makes_an_administrator_once(app: Application) -> None:
    token = first_link(app)
    browser = Browser(app)
    shown = browser.get(f"/link/{token}")
    done = browser.submit(f"/link/{token}", password=PASSWORD, again=PASSWORD)
    twice = Browser(app).get(f"/link/{token}")

    assert shown.status_code == 200
    assert 'value="admin"' in shown.text
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert "admin" in browser.get("/").text
    assert twice.status_code == 410
    assert first_link(app) is None


def test_a_second_start_before_anybody_signed_in_makes_the_first_link_void(
    app: Application,
) -> None:
    old, new = first_link(app), first_link(app)

    assert Browser(app).get(f"/link/{old}").status_code == 410
    assert Browser(app).get(f"/link/{new}").status_code == 200


def test_a_link_ends_by_itself(app: Application, later: list[float]) -> None:
    token = first_link(app)
    later[0] = accounts.LINK_LASTS_S

    assert Browser(app).get(f"/link/{token}").status_code == 410


def test_a_link_lets_who_forgot_the_password_in_again(app: Application) -> None:
    browser = signed_in(app)
    token = make_link(app, ME, "the-admin")

    other = Browser(app)
    other.submit(f"/link/{token}", password=PASSWORD[::-1], again=PASSWORD[::-1])

    assert other.get("/").status_code == 200
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "5 characters"),
        ("admin-admin-1", "holds the user&#39;s name"),
        ("aaaaaaaaaaaaaaa", "repeats a few characters"),
    ],
)
def test_a_bad_password_is_refused_with_what_is_wrong(
    app: Application, password: str, why: str
) -> None:
    token = first_link(app)

    done = Browser(app).submit(f"/link/{token}", password=password, again=password)

    assert done.status_code == 422
    assert why in done.text.lower()
    assert Browser(app).get(f"/link/{token}").status_code == 200


def test_cookies_are_kept_from_scripts_and_from_clear_text(app: Application) -> None:
    name = make_user(app, Role.VIEWER)
    plain, secure = Browser(app), Browser(app, base_url="https://localhost:8080")

    over_http = plain.sign_in(name).headers["set-cookie"]
    over_https = secure.sign_in(name).headers["set-cookie"]

    assert "pulmonode_session=" in over_https
    assert "HttpOnly" in over_http
    assert "SameSite=lax" in over_http
    assert "Secure" not in over_http
    assert "Secure" in over_https


def test_passwords_are_kept_as_rfc_9106_recommends() -> None:
    program = (
        "from workers.usecases.passwords import digest_of\n"
        "print(digest_of('correct horse battery', user='x'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_user_changes_the_password_and_is_signed_out_elsewhere(app: Application) -> None:
    browser, other = signed_in(app, Role.VIEWER), Browser(app)
    other.sign_in("the-viewer")
    before = browser.session
    new = PASSWORD[::-1]

    wrong = browser.submit("/account", "/account/password", old="wrong", password=new, again=new)
    done = browser.submit("/account", "/account/password", old=PASSWORD, password=new, again=new)

    assert (wrong.status_code, done.status_code) == (422, 303)
    assert "The old password is wrong." in wrong.text
    assert browser.session != before
    assert browser.get("/").status_code == 200
    assert other.get("/").status_code == 303
    assert Browser(app).sign_in("the-viewer", new).status_code == 303


def test_a_user_sees_where_they_are_signed_in_and_ends_the_rest(app: Application) -> None:
    browser, other = signed_in(app, Role.VIEWER), Browser(app, address="10.0.0.7")
    other.sign_in("the-viewer")
    shown = browser.get("/account").text

    browser.submit("/account", "/account/sign-out-elsewhere")

    assert "10.0.0.7" in shown
    assert "10.0.0.7" not in browser.get("/account").text
    assert (browser.get("/").status_code, other.get("/").status_code) == (200, 303)


def test_sessions_that_are_long_over_leave_the_database(
    app: Application, later: list[float]
) -> None:
    signed_in(app, Role.VIEWER)
    later[0] = app.settings.console_session_limit_s + FORGET_S + 1
    Browser(app).sign_in("the-viewer")

    assert count(app, ConsoleSession) == 1
