"""A program that uses the HTTP API with a token of its own."""

from __future__ import annotations

from tests.unit.workers.console.browser import Browser
from workers.application import Application
from workers.state.access_tables import Role
from workers.usecases.api_tokens import add_token
from workers.usecases.audit import at_the_command_line, list_audit

ME = at_the_command_line()
API = "/api/v1"


def program(app: Application, role: Role = Role.ADMIN, days: float = 1) -> Browser:
    """A program with a token of its own."""
    return Browser(app, token=add_token(app, ME, f"a-{role}", role, days=days))


def audited(app: Application) -> list[tuple[str, int | None, str, str]]:
    with app.database.read() as session:
        return [
            (row["action"], row["job"], row["subject"], row["outcome"])
            for row in list_audit(session)
        ]
