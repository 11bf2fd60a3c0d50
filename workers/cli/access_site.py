"""Users, tokens and the audit, of this machine's database or of a console elsewhere.

Deliberately absent from afar: passwords, which travel by link alone, and the whole audit at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from workers.application import Application
from workers.audit_trail.trail import tell_audit_read
from workers.cli.output import opened_application, reported_errors
from workers.state.access_tables import Role
from workers.usecases import accounts, api_tokens
from workers.usecases.audit import at_the_command_line, list_audit


class Access(Protocol):
    """Who may do what, and who did."""

    def users(self) -> list[dict[str, Any]]:
        """All users."""

    def add_user(self, name: str, role: Role) -> str:
        """Add a user; the address at which they choose a password."""

    def link(self, name: str) -> str:
        """A new address at which a user chooses a password."""

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role."""

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Shut a user out, or let them in again."""

    def tokens(self) -> list[dict[str, Any]]:
        """All tokens, without themselves."""

    def add_token(self, name: str, role: Role, days: float) -> str:
        """Make a token."""

    def revoke_token(self, name: str) -> None:
        """End a token."""

    def audit(
        self, *, limit: int, job: int | None, who: str | None, since: float | None
    ) -> list[dict[str, Any]]:
        """Who did what, newest first."""


class LocalAccess:
    """Of the database that this machine's settings name."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._me = at_the_command_line()

    def users(self) -> list[dict[str, Any]]:
        """See `Access`."""
        with self._app.database.read() as session:
            return accounts.list_users(session)

    def add_user(self, name: str, role: Role) -> str:
        """See `Access`."""
        return self._address(accounts.add_user(self._app, self._me, name, role))

    def link(self, name: str) -> str:
        """See `Access`."""
        return self._address(accounts.make_link(self._app, self._me, name))

    def set_role(self, name: str, role: Role) -> None:
        """See `Access`."""
        accounts.set_role(self._app, self._me, name, role)

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """See `Access`."""
        accounts.set_disabled(self._app, self._me, name, disabled=disabled)

    def tokens(self) -> list[dict[str, Any]]:
        """See `Access`."""
        with self._app.database.read() as session:
            return api_tokens.list_tokens(session)

    def add_token(self, name: str, role: Role, days: float) -> str:
        """See `Access`."""
        return api_tokens.add_token(self._app, self._me, name, role, days=days)

    def revoke_token(self, name: str) -> None:
        """See `Access`."""
        api_tokens.revoke_token(self._app, self._me, name)

    def audit(
        self, *, limit: int, job: int | None, who: str | None, since: float | None
    ) -> list[dict[str, Any]]:
        """See `Access`."""
        tell_audit_read(self._app.settings, self._me.name, "")
        with self._app.database.read() as session:
            return list_audit(session, limit=limit, job_id=job, who=who, since=since)

    def _address(self, token: str) -> str:
        return f"{self._app.settings.console_url()}/link/{token}"


@contextmanager
def accessed(server: str | None, token_file: Path | None) -> Iterator[Access]:
    """The site that a command's options name; errors end the command with one line."""
    if server is None:
        with opened_application() as app:
            yield LocalAccess(app)
        return
    with reported_errors():
        from workers.cli.remote_access import RemoteAccess  # here, because others need no HTTP

        with RemoteAccess.of(server, token_file) as site:
            yield site
