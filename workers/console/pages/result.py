"""The result viewer: the CT with what was found in it, and what people say of it."""

from __future__ import annotations

import zlib
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from workers.application import Application
from workers.console.access import App, Operator, Viewer
from workers.console.recent import Recent
from workers.console.rendering import render
from workers.errors import AnswerRefused, BankChangeRefused
from workers.state.jobs import find_job
from workers.usecases.answer import CATEGORIES, LEVELS, Statement, add_answer
from workers.usecases.describe_answers import show_answers
from workers.viewer.case import CaseView, view_case
from workers.viewer.slices import SliceCache

router = APIRouter(include_in_schema=False)

CASES_KEPT = 16
COMPRESSION = 1
"""The fastest: a slice shrinks to a half in some milliseconds."""
Text = Annotated[str, Form(max_length=2000)]


class Light:
    """What the viewer keeps of one application: decoded slices and gathered results."""

    def __init__(self) -> None:
        self.slices = SliceCache()
        self.cases: Recent[tuple[int, int], CaseView] = Recent(CASES_KEPT)


def _light(request: Request) -> Light:
    state = request.app.state
    if not hasattr(state, "light"):
        state.light = Light()
    found: Light = state.light
    return found


def _case(request: Request, app: Application, job_id: int) -> CaseView:
    """A result; it is gathered again when images were added to the series."""
    with app.database.read() as session:
        count = find_job(session, str(job_id)).instance_count
    return _light(request).cases.get((job_id, count), lambda: view_case(app, str(job_id)))


@router.get("/jobs/{job_id}/result")
def result(request: Request, app: App, caller: Viewer, job_id: int) -> Response:
    """The viewer's page."""
    return _page(request, app, caller, job_id)


@router.get("/jobs/{job_id}/result/view")
def view(request: Request, app: App, caller: Viewer, job_id: int) -> Response:
    """What the script draws, as JSON."""
    del caller
    case = _case(request, app, job_id)
    return JSONResponse(
        {
            "rows": case.rows,
            "columns": case.columns,
            "pixel_spacing_mm": case.pixel_spacing_mm,
            "letters": case.letters,
            "z_mm": [item.z_mm for item in case.slices],
            "nodules": [_drawn(case, nodule) for nodule in case.nodules],
        }
    )


@router.get("/jobs/{job_id}/result/slices/{index}")
def one_slice(request: Request, app: App, caller: Viewer, job_id: int, index: int) -> Response:
    """One slice: HU as 16-bit integers, little endian, row by row, deflated."""
    del caller
    case = _case(request, app, job_id)
    if not 0 <= index < len(case.slices):
        raise HTTPException(404, f"the series has slices 0 to {len(case.slices) - 1}")
    hu = _light(request).slices.hu(app.store, case.slices[index].key)
    body = zlib.compress(hu.astype("<i2").tobytes(), COMPRESSION)
    return Response(
        body,
        media_type="application/octet-stream",
        headers={
            "Content-Encoding": "deflate",
            "X-Rows": str(hu.shape[0]),
            "X-Columns": str(hu.shape[1]),
        },
    )


@router.get("/bank/pictures/{case_id}")
def case_picture(app: App, caller: Viewer, case_id: str) -> Response:
    """A typical case as a small picture."""
    from workers.bank.pictures import find_picture  # numpy and the bank take a second to load

    del caller
    picture = find_picture(app.settings, case_id)
    if picture is None:
        raise HTTPException(404, "no picture of this case is kept")
    return Response(picture, media_type="image/png")


@router.post("/jobs/{job_id}/answers")
def answer(
    request: Request,
    app: App,
    caller: Operator,
    job_id: int,
    nodule: Text = "",
    verdict: Text = "accept",
    level: Text = "",
    lung_rads: Text = "",
    outcome: Text = "",
    evidence: Text = "",
    on: Text = "",
    since: Text = "",
    comment: Text = "",
) -> Response:
    """Keep what somebody says of a nodule; no answer changes a grade."""
    try:
        add_answer(
            app,
            str(job_id),
            Statement(
                nodule=nodule,
                reject=verdict == "reject",
                level=level or None,
                lung_rads=lung_rads or None,
                outcome=outcome or None,
                evidence=evidence or None,
                on=_day(on),
                since=_day(since),
                comment=comment.strip(),
            ),
            by=caller.name,
            account=caller.name,
            actor=caller.actor,
        )
    except (AnswerRefused, BankChangeRefused, ValueError) as error:
        return _page(request, app, caller, job_id, problem=str(error), status=422)
    root = app.settings.console_root_path
    where = f"{root}/jobs/{job_id}/result?done=answer#nodule-{nodule}"
    return RedirectResponse(where, status_code=303)


def _page(
    request: Request,
    app: Application,
    caller: Viewer,
    job_id: int,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    case = _case(request, app, job_id)
    answers = show_answers(app, str(job_id))
    said = {item["id"]: item for item in answers["nodules"]}
    return render(
        request,
        "result.html",
        caller,
        status=status,
        case=case,
        findings=case.findings,
        nodules=[{**nodule, "said": said.get(nodule["id"])} for nodule in case.nodules],
        others=answers["others"],
        levels=LEVELS,
        categories=CATEGORIES,
        problem=problem,
    )


def _drawn(case: CaseView, nodule: dict[str, Any]) -> dict[str, Any]:
    """What is drawn of a nodule: outlines by slice, both axes on its key slice."""
    return {
        "id": nodule["id"],
        "slice": nodule["slice"],
        "outlines": {
            index: {"runs": outline.runs, "edges": outline.edges}
            for index, outline in case.outlines.get(nodule["id"], {}).items()
        },
        "axes": [
            [*nodule[name]["start_ji"], *nodule[name]["end_ji"]]
            for name in ("long_axis", "short_axis")
        ],
    }


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
