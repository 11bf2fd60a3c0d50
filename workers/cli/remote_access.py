"""Users, tokens and the audit of a console elsewhere, through its HTTP API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from workers.cli.remote import PAGE, RemoteSite
from workers.state.access_tables import Role


class RemoteAccess(RemoteSite):
    """See `workers.cli.access_site.Access`; with an administrator's token."""

    def users(self) -> list[dict[str, Any]]:
        """See `Access`."""
        rows: list[dict[str, Any]] = self._ask("GET", "users")
        return rows

    def add_user(self, name: str, role: Role) -> str:
        """See `Access`."""
        return self._address(self._ask("POST", "users", json={"name": name, "role": role}))

    def link(self, name: str) -> str:
        """See `Access`."""
        return self._address(self._ask("POST", f"users/{quote(name, safe='')}/link"))

    def set_role(self, name: str, role: Role) -> None:
        """See `Access`."""
        self._ask("PATCH", f"users/{quote(name, safe='')}", json={"role": role})

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """See `Access`."""
        self._ask("PATCH", f"users/{quote(name, safe='')}", json={"disabled": disabled})

    def tokens(self) -> list[dict[str, Any]]:
        """See `Access`."""
        rows: list[dict[str, Any]] = self._ask("GET", "tokens")
        return rows

    def add_token(self, name: str, role: Role, days: float) -> str:
        """See `Access`."""
        wanted = {"name": name, "role": role, "days": days}
        return str(self._ask("POST", "tokens", json=wanted)["token"])

    def revoke_token(self, name: str) -> None:
        """See `Access`."""
        self._ask("DELETE", f"tokens/{quote(name, safe='')}")

    def audit(
        self, *, limit: int, job: int | None, who: str | None, since: float | None
    ) -> list[dict[str, Any]]:
        """See `Access`."""
        wanted = {"job": job, "who": who, "since": since}
        query = {name: value for name, value in wanted.items() if value is not None}
        rows: list[dict[str, Any]] = []
        cursor = None
        while len(rows) < limit:
            more = {"limit": min(PAGE, limit - len(rows))} | ({"cursor": cursor} if cursor else {})
            page = self._ask("GET", "audit", params=query | more)
            rows += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
        return rows

    def _address(self, link: dict[str, str]) -> str:
        return f"{str(self._client.base_url).rstrip('/')}{link['path']}"
