"""The console in a real browser before the whole service, as an administrator would use it.

One service for all tests; they build on each other and run in this order.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dicom_node.read.series import load_ct_series
from tests.console.site import DESK, LIMIT_MS, PASSWORD, PHONE, Site, site
from tests.integration.bad_series import renamed, save
from workers.bench.many_jobs import fill
from workers.phantom import write_phantom
from workers.state.database import Database
from workers.state.schema import JobState

expect.set_options(timeout=LIMIT_MS)
pytestmark = [pytest.mark.peer, pytest.mark.timeout(900)]

LIMIT_OF_A_PAGE_MS = 300.0
"""Server time of a page of the queue with `MANY` jobs."""
MANY = 100_000
TRIES = 7
CASES_ARE_SHOWN = """() => {
    const shown = [...document.querySelectorAll("details[open] img.case")];
    return shown.length > 0 && shown.every((one) => one.naturalWidth === 48);
}"""
WINDOW_LOW_HU, WINDOW_WIDTH_HU = -1350.0, 1500.0
"""The lung window of the viewer."""
GRID = list(range(20, 240, 10))
"""Rows and columns of voxels that are looked at."""
LOOK = """grid => {
  const canvas = document.querySelector(".viewer canvas");
  const side = canvas.width, pen = canvas.getContext("2d"), scale = side / 256;
  const at = (j, i) => pen.getImageData((i + 0.5) * scale, (j + 0.5) * scale, 1, 1).data[0];
  const data = pen.getImageData(0, 0, side, side).data;
  let n = 0, x = 0, y = 0;
  for (let k = 0; k < data.length; k += 4)
    if (Math.abs(data[k] - data[k + 2]) > 25) {
      n += 1;
      x += (k / 4) % side;
      y += Math.floor(k / 4 / side);
    }
  return { grey: grid.flatMap(j => grid.map(i => at(j, i))),
           coloured: n ? { i: x / n / scale - 0.5, j: y / n / scale - 0.5 } : null };
}"""
POST = """async ([address, withToken]) => {
  const token = document.querySelector("input[name=csrf_token]").value;
  const body = new URLSearchParams({ action: "cancel", job: "1", paused: "true" });
  if (withToken) body.set("csrf_token", token);
  return (await fetch(address, { method: "POST", body })).status;
}"""
HIDE = """() => {
  Object.defineProperty(document, "hidden", { value: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PAGES = (
    "/", "/jobs", "/dead-letters", "/destinations", "/workers", "/storage", "/answers",
    "/rules/test", "/settings", "/audit", "/users",
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with its console, and a browser."""
    folder = tmp_path_factory.mktemp("site")
    write_phantom(
        folder / "ct",
        seed=3,
        slices=64,
        spacing_mm=4.0,
        pixels=256,
        pixel_spacing_mm=1.4,
        nodules=["solid:20"],
    )
    with site(folder, sorted((folder / "ct").rglob("*.dcm"))) as running:
        yield running


@pytest.fixture(scope="module")
def admin(shared: Site) -> Page:
    """The administrator's page, signed in by the first test."""
    return shared.page()


def state_of(page: Page, state: str) -> None:
    """Wait until the job's page says a state by itself: nobody loads it again."""
    expect(page.locator("h1 .state")).to_have_text(state.replace("_", " "))


def server_ms(page: Page, address: str) -> float:
    """Open a page some times; the median of the times that its server says it took."""
    taken = []
    for _ in range(TRIES):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200
        taken.append(float(answer.headers["server-timing"].removeprefix("app;dur=")))
    return statistics.median(taken)


def test_the_first_administrator_signs_in_by_the_printed_link_once(
    shared: Site, admin: Page
) -> None:
    link = shared.first_link()
    admin.goto(link)
    admin.get_by_label("New password").fill(PASSWORD)
    admin.get_by_label("Once more").fill(PASSWORD)
    admin.get_by_role("button", name="Set password").click()

    expect(admin.get_by_role("heading", name="Overview")).to_be_visible()
    expect(admin.get_by_text("Nothing waits.")).to_be_visible()
    with shared.expecting("410"):
        second = shared.page("somebody else")
        second.goto(link)
        expect(second.get_by_role("heading", name="This link does not work")).to_be_visible()


def test_a_paused_queue_holds_a_study_and_it_is_followed_live_to_confirmed(
    shared: Site, admin: Page
) -> None:
    admin.goto(f"{shared.origin}/workers")
    admin.get_by_role("button", name="Pause analyse").click()
    expect(admin.get_by_text("The queue is paused.")).to_be_visible()
    uid = shared.send_study("followed")
    admin.goto(f"{shared.origin}/jobs/{shared.job_of(uid)}")
    loads: list[str] = []
    admin.on("load", lambda page: loads.append(page.url))
    state_of(admin, "queued")
    time.sleep(1.0)
    held = shared.service.job(uid)["state"]

    with_switch = shared.page()
    with_switch.goto(f"{shared.origin}/jobs")
    with_switch.get_by_role("button", name="Resume analyse").click()
    expect(with_switch.get_by_text("The queue goes on.")).to_be_visible()
    with_switch.close()
    state_of(admin, "confirmed")

    assert held == "queued"
    assert loads == []
    expect(admin.locator(".way tr")).not_to_have_count(0)
    assert "2 kept" in admin.locator("main").inner_text()
    assert shared.service.job(uid)["state"] == JobState.CONFIRMED
    shared.picture(admin, "job-confirmed")


def test_the_viewer_shows_the_slices_and_where_the_nodule_lies(shared: Site, admin: Page) -> None:
    truth = json.loads((shared.scratch / "ct" / "truth.json").read_text())["nodules"][0]
    series = load_ct_series(shared.phantom)
    wanted = np.linalg.solve(series.affine, [*truth["centre_lps_mm"], 1.0])[:3]
    admin.get_by_role("link", name="Look at the result").click()
    canvas = admin.locator(".viewer canvas")
    expect(canvas).to_have_attribute("data-slice", re.compile(r"\d+"))
    expect(admin.locator("h2#nodules-title")).to_contain_text("nodule")
    index = int(canvas.get_attribute("data-slice") or -1)
    coloured = look(admin)["coloured"]
    admin.wait_for_function(CASES_ARE_SHOWN)
    shared.picture(admin, "result")
    admin.keyboard.press("o")
    plain = look(admin)
    hu = series.hu[index].astype(np.float64)
    grey = np.clip((hu - WINDOW_LOW_HU) * 255 / WINDOW_WIDTH_HU, 0, 255)
    drawn = np.array(plain["grey"], dtype=np.float64).reshape(len(GRID), len(GRID))
    expected = grey[np.ix_(GRID, GRID)]
    flat = np.array([[np.ptp(grey[j - 1 : j + 2, i - 1 : i + 2]) < 25 for i in GRID] for j in GRID])

    assert abs(index - wanted[0]) <= 2
    assert plain["coloured"] is None
    assert np.hypot(coloured["j"] - wanted[1], coloured["i"] - wanted[2]) * 1.4 < 4.0
    assert flat.sum() > 100
    assert np.abs(drawn - expected)[flat].mean() < 6.0
    assert np.ptp(expected[flat]) > 150


def test_the_viewer_is_driven_by_keys_wheel_and_slider(admin: Page) -> None:
    canvas = admin.locator(".viewer canvas")
    start = int(canvas.get_attribute("data-slice") or -1)

    admin.keyboard.press("ArrowUp")
    expect(canvas).to_have_attribute("data-slice", str(start + 1))
    canvas.hover()
    admin.mouse.wheel(0, -80)
    expect(canvas).to_have_attribute("data-slice", str(start - 1))
    admin.get_by_role("slider", name="Slice").fill("5")
    expect(canvas).to_have_attribute("data-slice", "5")
    admin.get_by_role("button", name="Soft tissue").click()
    expect(admin.locator("[data-where]")).to_contain_text("window 40 / 400 HU")
    admin.keyboard.press("1")
    expect(admin.locator("[data-where]")).to_contain_text("window -600 / 1500 HU")
    admin.keyboard.press("n")
    admin.keyboard.press("p")
    expect(canvas).to_have_attribute("data-slice", str(start))


def test_an_answer_is_kept_and_shown(shared: Site, admin: Page) -> None:
    card = admin.locator("#nodule-1")
    card.get_by_text("Answer", exact=True).click()
    card.get_by_label("no", exact=True).check()
    card.get_by_role("button", name="Keep the answer").click()

    expect(admin.get_by_text("Your answer is kept.")).to_be_visible()
    expect(admin.locator("#nodule-1")).to_contain_text("reject")
    admin.goto(f"{shared.origin}/answers")
    expect(admin.locator("table.jobs")).to_contain_text("reject")


def test_a_failed_delivery_is_found_explained_and_retried(shared: Site, admin: Page) -> None:
    shared.archive.stop()
    uid = shared.send_study("undelivered")
    admin.goto(f"{shared.origin}/jobs/{shared.job_of(uid)}")
    state_of(admin, "failed")
    shared.send_study("undelivered as well")
    admin.goto(f"{shared.origin}/jobs?state=dead")
    admin.locator("[data-row] a").first.click()
    expect(admin.get_by_text("No association could be made").first).to_be_visible()
    shared.picture(admin, "job-failed")
    admin.goto(f"{shared.origin}/destinations")
    archive = admin.locator(".card", has=admin.get_by_role("heading", name="archive"))
    archive.get_by_role("button", name="C-ECHO").click()
    expect(admin.get_by_text("C-ECHO failed")).to_be_visible()
    shared.picture(admin, "destinations-down")

    shared.restart_archive()
    archive.get_by_role("button", name="C-ECHO").click()
    expect(admin.get_by_text("answers C-ECHO")).to_be_visible()
    admin.goto(f"{shared.origin}/jobs/{shared.job_of(uid)}")
    admin.get_by_role("button", name="Retry").click()
    expect(admin.get_by_text("1 job started again.")).to_be_visible()
    state_of(admin, "confirmed")
    assert shared.service.job(uid)["state"] == JobState.CONFIRMED


def test_a_dead_letter_is_restarted(shared: Site, admin: Page) -> None:
    datasets = renamed(shared.phantom, "whose")
    for ds in datasets[:2]:
        ds.PatientName = "Other^Name"
    shared.service.send(save(datasets, shared.scratch / "whose"))
    uid = str(datasets[0].SeriesInstanceUID)
    shared.service.wait_for_job(uid, states={JobState.QUARANTINED})
    admin.goto(f"{shared.origin}/dead-letters")
    number = admin.get_by_role("link", name=str(shared.job_of(uid)), exact=True)
    expect(admin.get_by_text("Images of one study name different patients")).to_be_visible()
    shared.picture(admin, "dead-letters")

    admin.locator("[data-row]", has=number).get_by_role("button", name="Retry").click()
    expect(admin.get_by_text("1 job started again.")).to_be_visible()
    history = [line["message"] for line in shared.service.job(uid)["history"]]
    assert any(message.startswith("retry") for message in history)


def test_a_viewer_cannot_act(shared: Site, admin: Page) -> None:
    admin.goto(f"{shared.origin}/users")
    admin.get_by_label("New user").fill("guest")
    admin.get_by_role("button", name="Add").click()
    link = admin.locator("code.secret").inner_text()
    shared.picture(admin, "users")
    guest = shared.page("guest")
    guest.goto(link)
    guest.get_by_label("New password").fill(PASSWORD)
    guest.get_by_label("Once more").fill(PASSWORD)
    guest.get_by_role("button", name="Set password").click()
    expect(guest.get_by_role("heading", name="Overview")).to_be_visible()

    buttons = set()
    for path in ("/", "/jobs", "/jobs/1", "/dead-letters", "/destinations", "/workers"):
        guest.goto(shared.origin + path)
        buttons |= set(guest.locator("main button").all_inner_texts())
    with shared.expecting("403"):
        refused = guest.evaluate(POST, [f"{shared.origin}/jobs/act", True])
        guest.goto(f"{shared.origin}/users")
        expect(guest.get_by_role("heading", name="Your role may not do this")).to_be_visible()

    assert buttons <= {"Show"}
    assert refused == 403
    assert shared.service.jobs()[-1]["state"] == JobState.CONFIRMED


def test_a_request_without_the_csrf_token_is_refused(shared: Site, admin: Page) -> None:
    admin.goto(f"{shared.origin}/jobs")
    with shared.expecting("403"):
        refused = admin.evaluate(POST, [f"{shared.origin}/queues/analyse", False])

    admin.goto(f"{shared.origin}/workers")
    assert refused == 403
    expect(admin.get_by_role("button", name="Pause analyse")).to_be_visible()


def test_the_keyboard_is_enough(shared: Site, admin: Page) -> None:
    admin.goto(f"{shared.origin}/jobs")
    admin.keyboard.press("?")
    expect(admin.get_by_role("dialog")).to_be_visible()
    shared.picture(admin, "shortcuts")
    admin.keyboard.press("Escape")
    admin.keyboard.press("j")
    admin.keyboard.press("j")
    admin.keyboard.press("x")
    expect(admin.get_by_text("1 chosen")).to_be_visible()
    chosen = admin.locator("[data-row]", has=admin.locator("input:checked"))
    number = chosen.locator("a").inner_text()
    chosen.locator("a").focus()
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", name=re.compile(rf"^Job {number}\b"))).to_be_visible()
    admin.keyboard.press("/")
    admin.keyboard.type("1")
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", name=re.compile(r"^Job 1\b"))).to_be_visible()
    admin.locator("h1").click()
    admin.keyboard.press("g")
    admin.keyboard.press("d")
    expect(admin.get_by_role("heading", name="Dead letters")).to_be_visible()


def test_nothing_is_asked_while_nobody_looks(shared: Site, admin: Page) -> None:
    admin.goto(f"{shared.origin}/workers")
    asked: list[str] = []
    admin.on("request", lambda request: asked.append(request.url))
    with admin.expect_request("**/fragments/workers"):
        pass
    admin.evaluate(HIDE)
    time.sleep(0.5)
    asked.clear()
    time.sleep(4.0)

    assert asked == []


def test_a_hundred_thousand_jobs_are_listed_and_filtered_at_once(shared: Site, admin: Page) -> None:
    database = Database(shared.service.database_url)
    fill(database, MANY, now=time.time(), under_way=False)
    database.close()
    addresses = (
        "/jobs", "/jobs?state=failed", "/jobs?state=dead&ae=CT_ER", "/jobs?code=thickness",
        "/jobs?order=oldest&modality=CT", "/jobs?text=987654321", "/jobs?destination=pacs",
        "/dead-letters",
    )  # fmt: skip
    taken = {path: server_ms(admin, shared.origin + path) for path in addresses}
    admin.goto(f"{shared.origin}/jobs?state=confirmed")
    after = admin.get_by_role("link", name="next page").get_attribute("href")
    taken["next page"] = server_ms(admin, f"{shared.origin}{after}")
    taken["/"] = server_ms(admin, f"{shared.origin}/")
    shared.picture(admin, "overview-many")

    assert {path: ms for path, ms in taken.items() if ms >= LIMIT_OF_A_PAGE_MS} == {}


@pytest.mark.parametrize(("name", "scheme", "size"), [
    ("light", "light", DESK), ("dark", "dark", DESK), ("phone", "light", PHONE),
])  # fmt: skip
def test_every_page_in_light_and_dark_and_on_a_phone(
    shared: Site, admin: Page, name: str, scheme: str, size: dict[str, int]
) -> None:
    admin.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    admin.set_viewport_size(size)  # type: ignore[arg-type]
    wider = {}
    for path in (*PAGES, "/jobs/1", "/jobs/1/result"):
        admin.goto(shared.origin + path)
        if path.endswith("result"):
            expect(admin.locator(".viewer canvas")).to_have_attribute("data-slice", re.compile("."))
        wider[path] = admin.evaluate("document.documentElement.scrollWidth - innerWidth")
        shared.picture(admin, f"{path.strip('/').replace('/', '-') or 'overview'}-{name}")

    assert {path: pixels for path, pixels in wider.items() if pixels > 0} == {}


def test_no_page_complained_or_asked_another_host(shared: Site) -> None:
    assert shared.complaints == []


def look(page: Page) -> dict[str, Any]:
    """Greys of the canvas at the voxels of `GRID`, and where it is coloured, in voxels."""
    page.wait_for_timeout(150)
    found: dict[str, Any] = page.evaluate(LOOK, GRID)
    return found
