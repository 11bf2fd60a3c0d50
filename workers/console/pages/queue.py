"""The queue: filters, pages, and actions on one job or many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from workers.application import Application
from workers.console.access import App, Number, Operator, Viewer
from workers.console.pages.overview import looks
from workers.console.rendering import render
from workers.errors import NoSuchJob
from workers.state.jobs import NEEDS_A_PERSON
from workers.state.schema import JobState, Priority
from workers.usecases import administer
from workers.usecases.act import JobAction, act_on_many
from workers.usecases.list_queue import (
    QueueFilter,
    count_queue,
    dead_letter_groups,
    list_queue,
    matching_ids,
    queue_choices,
    states_of,
)
from workers.usecases.overview import OPEN_STATES
from workers.usecases.share_settings import with_site_settings

router = APIRouter(include_in_schema=False)

AT_ONCE = 500
"""Jobs that one click acts on at most."""
GROUPS = {"open": OPEN_STATES, "dead": tuple(sorted(NEEDS_A_PERSON))}
SHORT = Query(max_length=100)
Word = Annotated[str, SHORT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The filters as they stand in an address, and what they mean.

    Values that mean nothing are left out: an address that somebody typed is no error.
    """

    state: tuple[str, ...]
    code: str
    ae: str
    modality: str
    priority: str
    destination: str
    text: str
    since: str
    until: str
    order: str

    def filter(self) -> QueueFilter:
        """What to ask the database."""
        names = [name for each in self.state for name in GROUPS.get(each, (each,))]
        level = self.priority.upper()
        until = _day(self.until)
        return QueueFilter(
            states=states_of([str(name) for name in names]),
            code=self.code,
            calling_ae=self.ae,
            modality=self.modality,
            priority=Priority[level] if level in Priority.__members__ else None,
            destination=self.destination,
            text=self.text.strip(),
            since=_begins(_day(self.since)),
            until=_begins(_next(until)),
            oldest_first=self.order == "oldest",
        )

    def query(self, **changes: Any) -> str:
        """The same as a query string, with some of it changed; what is empty is left out."""
        values = {
            "state": self.state, "code": self.code, "ae": self.ae, "modality": self.modality,
            "priority": self.priority, "destination": self.destination, "text": self.text,
            "since": self.since, "until": self.until, "order": self.order, **changes,
        }  # fmt: skip
        return urlencode({key: value for key, value in values.items() if value}, doseq=True)

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the order is asked for."""
        return bool(self.query(order=""))


def asked(
    state: Annotated[list[str] | None, Query(max_length=20)] = None,
    code: Word = "",
    ae: Word = "",
    modality: Word = "",
    priority: Word = "",
    destination: Word = "",
    text: Word = "",
    since: Word = "",
    until: Word = "",
    order: Word = "",
) -> Asked:
    """Read the filters of an address."""
    return Asked(
        state=tuple(name for name in state or () if name), code=code, ae=ae, modality=modality,
        priority=priority, destination=destination, text=text, since=since, until=until,
        order=order,
    )  # fmt: skip


Filters = Annotated[Asked, Depends(asked)]


@router.get("/jobs")
def jobs(
    request: Request, app: App, caller: Viewer, filters: Filters, after: Number | None = None
) -> Response:
    """One page of the queue."""
    return render(request, "queue.html", caller, **_shown(request, app, filters, after))


@router.get("/fragments/jobs")
def rows(request: Request, app: App, caller: Viewer, filters: Filters) -> Response:
    """The first page's counts and rows, for a page that keeps itself up to date."""
    return render(request, "queue_rows.html", caller, **_shown(request, app, filters, None))


@router.get("/find")
def find(app: App, caller: Viewer, text: Word = "") -> Response:
    """The job of a number or UID at once, or what the queue has of it."""
    del caller
    root = app.settings.console_root_path
    with app.database.read() as session:
        found = matching_ids(session, QueueFilter(text=text.strip()), limit=2) if text else ()
    if len(found) == 1:
        return RedirectResponse(f"{root}/jobs/{found[0]}", status_code=303)
    return RedirectResponse(f"{root}/jobs?{urlencode({'text': text})}", status_code=303)


@router.get("/dead-letters")
def dead_letters(
    request: Request, app: App, caller: Viewer, filters: Filters, after: Number | None = None
) -> Response:
    """Jobs that stopped and need a person, by reason."""
    stopped = replace(filters, state=("dead",))
    with app.database.read() as session:
        groups = dead_letter_groups(session)
        page = list_queue(session, stopped.filter(), after=after)
    return render(
        request, "dead_letters.html", caller, groups=groups, page=page, filters=filters, after=after
    )


@router.post("/jobs/act")
def act(
    request: Request,
    app: App,
    caller: Operator,
    action: Annotated[JobAction, Form()],
    job: Annotated[list[Number] | None, Form(max_length=AT_ONCE)] = None,
    matching: Annotated[str | None, Form(max_length=2000)] = None,
    back: Annotated[str, Form(max_length=2000)] = "/jobs",
) -> Response:
    """Act on the chosen jobs, or on all that pass the filters in `matching` (a query string)."""
    chosen = tuple(job or ())
    left = 0
    if matching is not None:
        with app.database.read() as session:
            found = matching_ids(session, read_query(matching).filter(), limit=AT_ONCE + 1)
        chosen, left = found[:AT_ONCE], max(0, len(found) - AT_ONCE)
    if len(chosen) == 1 and job is not None and not _exists(app, chosen[0]):
        raise NoSuchJob(str(chosen[0]))
    outcomes = act_on_many(app, action, chosen, by=caller.actor)
    refused = [item for item in outcomes if item.why]
    back = back if back.startswith("/") and not back.startswith("//") else "/jobs"
    if outcomes and not refused and not left:
        done = urlencode({"done": action, "count": len(outcomes)})
        joint = "&" if "?" in back else "?"
        root = app.settings.console_root_path
        return RedirectResponse(f"{root}{back}{joint}{done}", status_code=303)
    return render(
        request,
        "acted.html",
        caller,
        action=action,
        done=[item for item in outcomes if not item.why],
        refused=refused,
        left=left,
        back=back,
    )


def read_query(text: str) -> Asked:
    """The filters of a query string."""
    values = parse_qs(text)

    def one(name: str) -> str:
        return values.get(name, [""])[0]

    return asked(
        state=values.get("state"), code=one("code"), ae=one("ae"), modality=one("modality"),
        priority=one("priority"), destination=one("destination"), text=one("text"),
        since=one("since"), until=one("until"), order=one("order"),
    )  # fmt: skip


def _shown(request: Request, app: Application, filters: Asked, after: int | None) -> dict[str, Any]:
    settings = with_site_settings(app).settings
    wanted = filters.filter()
    choices = looks(request).choices
    with app.database.read() as session:
        return {
            "filters": filters,
            "after": after,
            "page": list_queue(session, wanted, after=after),
            "counts": count_queue(session, wanted),
            "choices": choices.get(lambda: queue_choices(session)),
            "destinations": [item.name for item in settings.destinations],
            "paused": administer.paused_queues(session),
            "now": app.now(),
            "states": list(JobState),
            "at_once": AT_ONCE,
        }


def _exists(app: Application, job_id: int) -> bool:
    with app.database.read() as session:
        return bool(matching_ids(session, QueueFilter(text=str(job_id)), limit=1))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _next(day: date | None) -> date | None:
    return None if day in (None, date.max) else day + timedelta(days=1)


def _begins(day: date | None) -> float | None:
    """When a day begins in the server's time zone; `None` for one that the clock cannot tell."""
    try:
        return None if day is None else datetime.combine(day, time()).astimezone().timestamp()
    except (OverflowError, ValueError):  # in the years 1 and 9999, by the time zone
        return None
