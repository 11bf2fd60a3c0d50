"""Every route of the console, those of included routers too, and what it declares."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter
from starlette.routing import BaseRoute

from workers.console.access import REQUIRED_ROLE

FILLED = {
    "{job}": "1", "{action}": "cancel", "{queue}": "analyse", "{name}": "main", "{token}": "none",
    "{wanted}": "1", "{job_id}": "1", "{index}": "0", "{case_id}": "none",
}  # fmt: skip
"""Values for the parts of a path that vary."""


def every_route(router: FastAPI | APIRouter) -> Iterator[BaseRoute]:
    """All routes; FastAPI keeps those of an included router apart."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from every_route(included)


def declared(dependant: Dependant) -> Iterator[str]:
    """Roles that a route's dependencies ask for."""
    for inner in dependant.dependencies:
        role = getattr(inner.call, REQUIRED_ROLE, None)
        if role is not None:
            yield str(role)
        yield from declared(inner)


def guarded(app: FastAPI) -> list[tuple[str, str, str]]:
    """(Method, path with values, role) of every route that asks for one."""
    found = []
    for route in every_route(app):
        if not isinstance(route, APIRoute):
            continue
        roles = [role for role in declared(route.dependant) if role != "public"]
        path = route.path
        for part, value in FILLED.items():
            path = path.replace(part, value)
        found += [(method, path, role) for method in sorted(route.methods) for role in roles]
    return found
