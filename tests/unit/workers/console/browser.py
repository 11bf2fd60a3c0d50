"""A browser over the real ASGI application: cookies, forms and their hidden fields."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
from fastapi import FastAPI

from workers.application import Application
from workers.console.access import COOKIE, CSRF_FIELD
from workers.console.app import create_app
from workers.state.access_tables import Role
from workers.usecases.accounts import add_user
from workers.usecases.audit import at_the_command_line
from workers.usecases.sign_in import sign_in_by_link

PASSWORD = "correct horse battery"  # noqa: S105 - of users that tests make
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
ADDRESS = "127.0.0.1"


class Browser:
    """One user agent.

    Parameters
    ----------
    app : Application
        The console is made over it.
    token : str, optional
        Sent as ``Authorization: Bearer``, as programs do.
    session : str, optional
        A session's token that it came by elsewhere.
    """

    def __init__(
        self,
        app: Application,
        *,
        token: str = "",
        session: str = "",
        base_url: str = "http://localhost:8080",
        address: str = ADDRESS,
        asgi: FastAPI | None = None,
    ) -> None:
        self.app = app
        self.asgi = asgi or create_app(app)
        self.base_url = base_url
        self.address = address
        self.cookies = httpx.Cookies()
        if session:
            self.session = session
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request; redirections are not followed."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.asgi, client=(self.address, 1), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(
                transport=transport,
                base_url=self.base_url,
                cookies=self.cookies,
                headers=self.headers,
            ) as client:
                response = await client.request(method, path, **arguments)
                self.cookies = client.cookies
                return response

        return asyncio.run(once())

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    def patch(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("PATCH", path, **arguments)

    def submit(self, page: str, action: str | None = None, **fields: str) -> httpx.Response:
        """Fill in a page's form and send it, with the hidden fields that the page gave."""
        hidden = dict(HIDDEN.findall(self.get(page).text))
        return self.post(action or page, data={**hidden, **fields})

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.submit("/sign-in", name=name, password=password)

    @property
    def csrf(self) -> str:
        """The session's CSRF token, as its pages give it."""
        return dict(HIDDEN.findall(self.get("/").text))[CSRF_FIELD]

    @property
    def session(self) -> str | None:
        """What the browser keeps of its session."""
        return self.cookies.get(COOKIE)

    @session.setter
    def session(self, value: str) -> None:
        self.cookies.set(COOKIE, value, domain="localhost.local", path="/")


def make_user(app: Application, role: Role, name: str = "") -> str:
    """A user with `PASSWORD`; returns the name."""
    name = name or f"the-{role}"
    link = add_user(app, at_the_command_line(), name, role)
    sign_in_by_link(app, link, PASSWORD, ADDRESS)
    return name


def signed_in(app: Application, role: Role = Role.ADMIN) -> Browser:
    """A browser in which a new user of this role is signed in."""
    browser = Browser(app)
    assert browser.sign_in(make_user(app, role)).status_code == 303
    return browser
