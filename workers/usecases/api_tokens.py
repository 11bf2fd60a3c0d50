"""Tokens of programs that use the HTTP API: random, kept as digests, shown once, with an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from workers.access_errors import AccessRefused, NotSignedIn
from workers.application import Application
from workers.state.access_tables import ApiToken, Role
from workers.usecases.accounts import NAME
from workers.usecases.audit import Actor, record
from workers.usecases.secrets import digest_of_token, new_token

PREFIX = "pulmonode_"
"""So that scanners for leaked secrets know one."""
LONGEST_DAYS = 3660
USED_EVERY_S = 60.0
"""How exactly it is kept when a token was used last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownToken:
    """A token that counts."""

    name: str
    role: Role


def add_token(app: Application, actor: Actor, name: str, role: Role, *, days: float) -> str:
    """Make a token; the answer is the only time it can be seen.

    Parameters
    ----------
    days : float
        After which it ends.

    Raises
    ------
    AccessRefused
        If the name is not one or taken, or the time is too long.
    """
    if not NAME.fullmatch(name):
        raise AccessRefused(
            "that is no name of a token", "use up to 63 letters, digits, dots, dashes, @ or _"
        )
    if not 0 < days <= LONGEST_DAYS:
        raise AccessRefused(
            f"{days:g} days", f"a token lasts more than 0 and at most {LONGEST_DAYS}"
        )
    now = app.now()
    token = PREFIX + new_token()
    with app.database.write() as session:
        if session.scalars(select(ApiToken).where(ApiToken.name == name)).first() is not None:
            raise AccessRefused(f"there is a token {name} already", "choose another name")
        session.add(
            ApiToken(
                name=name, token_sha256=digest_of_token(token), role=role, created_by=actor.name,
                created_at=now, expires_at=now + days * 86400,
            )
        )  # fmt: skip
        record(session, actor, "token.add", at=now, subject=name)
    return token


def list_tokens(session: Session) -> list[dict[str, Any]]:
    """All tokens by name, without themselves."""
    return [
        {
            "name": token.name,
            "role": token.role,
            "created_by": token.created_by,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "used_at": token.used_at,
            "revoked_at": token.revoked_at,
        }
        for token in session.scalars(select(ApiToken).order_by(ApiToken.name))
    ]


def revoke_token(app: Application, actor: Actor, name: str) -> None:
    """End a token at once; nothing happens when it has ended by revocation before.

    Raises
    ------
    AccessRefused
        If there is none of that name.
    """
    now = app.now()
    with app.database.write() as session:
        token = session.scalars(select(ApiToken).where(ApiToken.name == name)).first()
        if token is None:
            raise AccessRefused(f"no token {name}", "'pulmonode tokens list' shows what there is")
        token.revoked_at = token.revoked_at or now
        record(session, actor, "token.revoke", at=now, subject=name)


def find_token(app: Application, token: str) -> KnownToken:
    """Whose token this is.

    Raises
    ------
    NotSignedIn
        If it is unknown, revoked or too old.
    """
    now = app.now()
    digest = digest_of_token(token)
    with app.database.read() as session:
        row = session.scalars(select(ApiToken).where(ApiToken.token_sha256 == digest)).first()
        if row is None or row.revoked_at is not None or now >= row.expires_at:
            raise NotSignedIn("the token is unknown, revoked or too old")
        found = KnownToken(name=row.name, role=Role(row.role))
        stale = row.used_at is None or now - row.used_at >= USED_EVERY_S
    if stale:
        with app.database.write() as session:
            kept = session.scalars(select(ApiToken).where(ApiToken.token_sha256 == digest)).one()
            kept.used_at = now
    return found
