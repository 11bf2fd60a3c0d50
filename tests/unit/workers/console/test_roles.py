"""Every route declares who may use it."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter
from starlette.routing import BaseRoute

from workers.application import Application
from workers.console.access import REQUIRED_ROLE
from workers.console.app import create_app

PUBLIC = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/link/{token}"),
    ("POST", "/link/{token}"),
}


def declared(dependant: Dependant) -> Iterator[str]:
    """Roles that a route's dependencies ask for."""
    for inner in dependant.dependencies:
        role = getattr(inner.call, REQUIRED_ROLE, None)
        if role is not None:
            yield str(role)
        yield from declared(inner)


def every_route(router: FastAPI | APIRouter) -> Iterator[BaseRoute]:
    """All routes, those of included routers too (which FastAPI keeps apart since 0.13x)."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from every_route(included)


def test_every_route_declares_one_role(app: Application) -> None:
    routes = list(every_route(create_app(app)))
    unclear = [
        route
        for route in routes
        if not (isinstance(route, APIRoute) and len(list(declared(route.dependant))) == 1)
        and getattr(route, "path", None) != "/static"
    ]

    assert len(routes) > 5
    assert unclear == []


def test_only_signing_in_is_for_everybody(app: Application) -> None:
    public = {
        (method, route.path)
        for route in every_route(create_app(app))
        if isinstance(route, APIRoute) and list(declared(route.dependant)) == ["public"]
        for method in route.methods
    }

    assert public == PUBLIC


def test_a_route_without_a_role_is_found(app: Application) -> None:
    """The walk sees what is added carelessly, in an included router as well."""
    console = create_app(app)
    router = APIRouter()
    router.get("/open")(lambda: "open")
    console.include_router(router)

    (found,) = [r for r in every_route(console) if getattr(r, "path", "") == "/open"]

    assert isinstance(found, APIRoute)
    assert list(declared(found.dependant)) == []
