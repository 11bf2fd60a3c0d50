"""The first page: what waits, runs and failed, what needs a person, and how it goes over time."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from workers.application import Application
from workers.console.access import App, Viewer
from workers.console.charts import trend_chart
from workers.console.kept import Kept
from workers.console.rendering import render
from workers.usecases import administer, describe
from workers.usecases.drift import MEASURES, ScannerDrift, drift_by_scanner
from workers.usecases.overview import Trends, look_back, look_over, recent_events

router = APIRouter(include_in_schema=False)

TRENDS_S = 60.0
DRIFT_S = 300.0
CHOICES_S = 10.0
EVENTS = 12


class Looks:
    """What overview and queue keep of one application's slower questions."""

    def __init__(self) -> None:
        self.trends: Kept[Trends] = Kept(TRENDS_S)
        self.drift: Kept[list[ScannerDrift]] = Kept(DRIFT_S)
        self.choices: Kept[dict[str, list[str]]] = Kept(CHOICES_S)


def looks(request: Request) -> Looks:
    """Of this application; made at the first question."""
    state = request.app.state
    if not hasattr(state, "looks"):
        state.looks = Looks()
    found: Looks = state.looks
    return found


@router.get("/")
def overview(request: Request, app: App, caller: Viewer) -> Response:
    """Everything at a glance."""
    kept = looks(request)
    trends = kept.trends.get(lambda: _trends(app))
    drift = kept.drift.get(lambda: _drift(app))
    return render(
        request,
        "overview.html",
        caller,
        hours=trend_chart(trends.hours, label="Last 24 hours", marks="%H:00", every=4),
        days=trend_chart(trends.days, label="Last 30 days", marks="%d.%m.", every=7),
        drift=drift,
        measures=[name for name in MEASURES if _is_known(drift, name)],
        **_now(app),
    )


@router.get("/fragments/overview")
def now(request: Request, app: App, caller: Viewer) -> Response:
    """The part that changes by the second."""
    return render(request, "overview_now.html", caller, **_now(app))


def _now(app: Application) -> dict[str, Any]:
    at = app.now()
    with app.database.read() as session:
        return {
            "seen": look_over(session, now=at),
            "paused": administer.paused_queues(session),
            "alarms": describe.list_alarms(session),
            "events": recent_events(session, limit=EVENTS),
        }


def _trends(app: Application) -> Trends:
    at = app.now()
    with app.database.read() as session:
        return look_back(session, now=at)


def _drift(app: Application) -> list[ScannerDrift]:
    at = app.now()
    with app.database.read() as session:
        return drift_by_scanner(session, now=at)


def _is_known(drift: list[ScannerDrift], measure: str) -> bool:
    """Whether any result says it."""
    return any(
        span.means[measure] is not None for item in drift for span in (item.recent, item.before)
    )
