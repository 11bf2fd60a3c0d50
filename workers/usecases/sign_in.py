"""Signing in and out of the console: passwords, one-time links, sessions, and the limit on guesses.

Every sign-in makes a new session under a new token, whatever token the browser came with. An
attempt is written down before the password is looked at, so that many at once are counted too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from workers.access_errors import AccessRefused, NotSignedIn, TooManyAttempts
from workers.application import Application
from workers.state.access_tables import ConsoleSession, Role, SignInAttempt, SignInLink, User
from workers.usecases.accounts import end_sessions
from workers.usecases.audit import Actor, How, Outcome, record
from workers.usecases.passwords import digest_of, is_outdated, matches
from workers.usecases.secrets import digest_of_token, new_token

SEEN_EVERY_S = 30.0
"""How exactly it is kept when a session was used last: not every page writes."""
FORGET_S = 30 * 86400.0
"""After which a session that is over leaves the database; the audit keeps the sign-in."""
UNKNOWN = "unknown"
"""Who tried, in the audit, when the name is no user's: what was typed may be a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session that counts."""

    session_id: int
    user: str
    role: Role


def sign_in(app: Application, name: str, password: str, address: str) -> str:
    """Check a password; returns the token of a new session.

    Raises
    ------
    TooManyAttempts
        If this user or this address failed too often lately, whatever the password.
    NotSignedIn
        If there is no such user, or the password is another.
    """
    now = app.now()
    attempt_id = _begin_attempt(app, name, address, now)
    with app.database.read() as session:
        found = session.scalars(select(User).where(User.name == name)).first()
        digest = None if found is None or found.disabled else found.password
    right = matches(password, digest)  # slow, so outside of a transaction
    fresh = digest_of(password, user=name) if right and digest and is_outdated(digest) else None
    with app.database.write() as session:
        user = session.scalars(select(User).where(User.name == name)).first()
        if not right or user is None or user.disabled or user.password != digest:
            who = UNKNOWN if user is None else user.name
            role = Role.VIEWER if user is None else Role(user.role)
            actor = Actor(name=who, role=role, how=How.BROWSER, address=address)
            record(session, actor, "sign_in", at=now, outcome=Outcome.REFUSED)
            refused = True
        else:
            refused = False
            session.execute(
                delete(SignInAttempt).where(
                    (SignInAttempt.id == attempt_id) | (SignInAttempt.user_sha256 == _digest(name))
                )
            )
            user.password = fresh or user.password
            token = _new_session(app, session, user, address, now)
    if refused:
        raise NotSignedIn("user name or password is wrong")
    return token


def link_user(app: Application, token: str) -> str:
    """Name of the user whom a one-time link is for; the link stays as it is.

    Raises
    ------
    AccessRefused
        If it was used, is too old, or never was.
    """
    with app.database.read() as session:
        return _open_link(session, token, app.now())[1].name


def sign_in_by_link(app: Application, token: str, password: str, address: str) -> str:
    """Set the password of a link's user and sign them in; returns the token of a new session.

    Raises
    ------
    AccessRefused
        If the link was used, is too old or never was, or the password does not keep the rules.
    """
    name = link_user(app, token)
    digest = digest_of(password, user=name)
    now = app.now()
    with app.database.write() as session:
        link, user = _open_link(session, token, now)
        link.used_at = now
        user.password = digest
        user.password_at = now
        end_sessions(session, user, now)
        record(session, _actor(user, address), "user.password", at=now, subject=user.name)
        return _new_session(app, session, user, address, now)


def change_own_password(app: Application, actor: Actor, old: str, new: str) -> str:
    """Change the password of whoever is signed in; returns the token of their only session.

    Raises
    ------
    TooManyAttempts
        If the old one was wrong too often lately.
    NotSignedIn
        If the old one is wrong.
    AccessRefused
        If the new one does not keep the rules.
    """
    digest = digest_of(new, user=actor.name)
    sign_in_token = sign_in(app, actor.name, old, actor.address)
    now = app.now()
    with app.database.write() as session:
        _, user = _open_session(session, sign_in_token, now, app.settings.console_session_idle_s)
        user.password = digest
        user.password_at = now
        end_sessions(session, user, now)
        record(session, actor, "user.password", at=now, subject=user.name)
        return _new_session(app, session, user, actor.address, now)


def find_session(app: Application, token: str, *, renew: bool = True) -> SignedIn:
    """Who a session's token belongs to; using it keeps it from going idle.

    Parameters
    ----------
    renew : bool
        False for what a page asks by itself, so that one left open does not stay signed in.

    Raises
    ------
    NotSignedIn
        If the session ended, went idle, is too old or never was, or its user is shut out.
    """
    now = app.now()
    idle_s = app.settings.console_session_idle_s
    with app.database.read() as session:
        row, user = _open_session(session, token, now, idle_s)
        found = SignedIn(session_id=row.id, user=user.name, role=Role(user.role))
        stale = now - row.seen_at >= min(SEEN_EVERY_S, idle_s / 4)
    if renew and stale:
        with app.database.write() as session:
            row, _ = _open_session(session, token, now, idle_s)
            row.seen_at = now
    return found


def sign_out(app: Application, actor: Actor, session_id: int) -> None:
    """End a session."""
    now = app.now()
    with app.database.write() as session:
        row = session.get(ConsoleSession, session_id)
        if row is not None and row.ended_at is None:
            row.ended_at = now
        record(session, actor, "sign_out", at=now)


def sign_out_elsewhere(app: Application, actor: Actor, session_id: int) -> None:
    """End every other session of a session's user."""
    now = app.now()
    with app.database.write() as session:
        row = session.get_one(ConsoleSession, session_id)
        end_sessions(session, session.get_one(User, row.user_id), now, but=session_id)
        record(session, actor, "sign_out.elsewhere", at=now)


def list_sessions(session: Session, name: str, *, now: float) -> list[dict[str, Any]]:
    """Where a user is signed in, newest first."""
    rows = session.scalars(
        select(ConsoleSession)
        .join(User, User.id == ConsoleSession.user_id)
        .where(
            User.name == name, ConsoleSession.ended_at.is_(None), ConsoleSession.expires_at > now
        )
        .order_by(ConsoleSession.id.desc())
    )
    return [
        {
            "id": row.id,
            "address": row.address,
            "created_at": row.created_at,
            "seen_at": row.seen_at,
            "expires_at": row.expires_at,
        }
        for row in rows
    ]


def _begin_attempt(app: Application, name: str, address: str, now: float) -> int:
    settings = app.settings
    user = _digest(name)
    with app.database.write() as session:
        oldest = now - settings.console_sign_in_window_s
        session.execute(delete(SignInAttempt).where(SignInAttempt.at < oldest))
        for condition, limit in (
            (SignInAttempt.user_sha256 == user, settings.console_sign_ins_per_user),
            (SignInAttempt.address == address, settings.console_sign_ins_per_address),
        ):
            times = session.scalars(
                select(SignInAttempt.at).where(condition).order_by(SignInAttempt.at.desc())
            ).all()
            if len(times) >= limit:
                wait_s = times[limit - 1] + settings.console_sign_in_window_s - now
                break
        else:
            attempt = SignInAttempt(user_sha256=user, address=address, at=now)
            session.add(attempt)
            session.flush()
            return attempt.id
    raise TooManyAttempts(max(1.0, wait_s))


def _new_session(app: Application, session: Session, user: User, address: str, now: float) -> str:
    session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at < now - FORGET_S))
    token = new_token()
    session.add(
        ConsoleSession(
            token_sha256=digest_of_token(token),
            user_id=user.id,
            address=address[:64],
            created_at=now,
            seen_at=now,
            expires_at=now + app.settings.console_session_limit_s,
        )
    )
    user.last_sign_in_at = now
    record(session, _actor(user, address), "sign_in", at=now)
    return token


def _open_session(
    session: Session, token: str, now: float, idle_s: float
) -> tuple[ConsoleSession, User]:
    row = session.execute(
        select(ConsoleSession, User)
        .join(User, User.id == ConsoleSession.user_id)
        .where(ConsoleSession.token_sha256 == digest_of_token(token))
    ).first()
    if row is None:
        raise NotSignedIn("there is no such session")
    found, user = row
    if found.ended_at is not None or user.disabled:
        raise NotSignedIn("the session has ended")
    if now >= found.expires_at or now - found.seen_at >= idle_s:
        raise NotSignedIn("the session was idle, or open, for too long")
    return found, user


def _open_link(session: Session, token: str, now: float) -> tuple[SignInLink, User]:
    row = session.execute(
        select(SignInLink, User)
        .join(User, User.id == SignInLink.user_id)
        .where(SignInLink.token_sha256 == digest_of_token(token))
    ).first()
    remedy = "an administrator makes a new one: pulmonode users link NAME"
    if row is None:
        raise AccessRefused("this link is not known", remedy)
    link, user = row
    if link.used_at is not None or now >= link.expires_at or user.disabled:
        raise AccessRefused("this link was used, or is too old", remedy)
    return link, user


def _actor(user: User, address: str) -> Actor:
    return Actor(name=user.name, role=Role(user.role), how=How.BROWSER, address=address)


def _digest(name: str) -> str:
    return hashlib.sha256(name.strip().lower().encode()).hexdigest()
