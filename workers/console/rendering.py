"""Pages from templates: what every template is given, and how values look.

In a template: `root` (prefix of every link: ``{{ root }}/jobs``), `caller` (or none), `csrf`
(``{{ csrf_field() }}`` inside each form), `may("operator")`, `query` (of the address), the bars of
`charts`, and the filters `ago`, `moment`, `duration`, `megabytes`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from workers import clock
from workers.advice import advise
from workers.console.access import CSRF_FIELD, Caller, application
from workers.console.charts import meter, share_bar, signed_meter
from workers.console.problems import Problem
from workers.state.access_tables import Role

TEMPLATES = Path(__file__).parent / "templates"


def moment(seconds: float | None) -> Markup:
    """A time for people and programs: UTC in `datetime`, shown in the server's time zone."""
    if not seconds:
        return Markup("")
    at = datetime.fromtimestamp(seconds, UTC)
    shown = at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), shown)


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    if seconds is None:
        return ""
    left = max(0.0, seconds)
    if left < 10:
        return f"{left:.1f} s"
    whole = round(left)
    for unit, size, smaller, step in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // step} {smaller}"
    return f"{whole} s"


def ago(seconds: float | None) -> str:
    """How long ago a moment was."""
    return "" if not seconds else f"{duration(clock.now() - seconds)} ago"


def megabytes(size_bytes: float | None) -> str:
    """A size in MB or GB."""
    if size_bytes is None:
        return ""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(moment=moment, duration=duration, ago=ago, megabytes=megabytes)
    made.globals.update(
        share_bar=share_bar, meter=meter, signed_meter=signed_meter, explain=advise, zip=zip
    )
    return made


templates = _environment()


def render(
    request: Request,
    template: str,
    caller: Caller | None = None,
    *,
    status: int = 200,
    **context: Any,
) -> HTMLResponse:
    """A page.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``.
    caller : Caller, optional
        Who asks; `None` on pages without sign-in.
    """
    settings = application(request).settings
    csrf = caller.csrf if caller else ""

    def may(role: str) -> bool:
        return caller is not None and caller.may(Role(role))

    def csrf_field() -> Markup:
        return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, csrf)

    html = templates.get_template(template).render(
        root=settings.console_root_path,
        path=request.url.path.removeprefix(settings.console_root_path),
        query=request.query_params,
        caller=caller,
        csrf=csrf,
        csrf_field=csrf_field,
        may=may,
        show_patient=settings.console_show_patient,
        **context,
    )
    return HTMLResponse(html, status_code=status)


def error_page(request: Request, problem: Problem) -> HTMLResponse:
    """A problem as a page."""
    caller = getattr(request.state, "caller", None)
    return render(request, "error.html", caller, status=problem.status, problem=problem)
