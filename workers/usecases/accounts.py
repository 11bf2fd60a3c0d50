"""Users of the console: who there is, in which role, and how they get in the first time."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from workers.access_errors import AccessRefused, NoSuchUser
from workers.application import Application
from workers.state.access_tables import ConsoleSession, Role, SignInLink, User
from workers.usecases.audit import Actor, How, record
from workers.usecases.passwords import digest_of
from workers.usecases.secrets import digest_of_token, new_token

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
LINK_LASTS_S = 24 * 3600.0
FIRST_ADMIN = "admin"


def list_users(session: Session) -> list[dict[str, Any]]:
    """All users by name, without anything secret."""
    return [
        {
            "name": user.name,
            "role": user.role,
            "disabled": user.disabled,
            "has_password": user.password is not None,
            "created_at": user.created_at,
            "last_sign_in_at": user.last_sign_in_at,
        }
        for user in session.scalars(select(User).order_by(User.name))
    ]


def add_user(app: Application, actor: Actor, name: str, role: Role) -> str:
    """Add a user; returns the token of a link with which they choose a password.

    Raises
    ------
    AccessRefused
        If the name is not one, or taken.
    """
    if not NAME.fullmatch(name):
        raise AccessRefused(
            "that is no user name", "use up to 63 letters, digits, dots, dashes, underscores or @"
        )
    now = app.now()
    with app.database.write() as session:
        if session.scalars(select(User).where(User.name == name)).first() is not None:
            raise AccessRefused(f"there is a user {name} already", "choose another name")
        user = User(name=name, role=role, password=None, created_at=now)
        session.add(user)
        session.flush()
        record(session, actor, "user.add", at=now, subject=name)
        return _new_link(session, user, now)


def make_link(app: Application, actor: Actor, name: str) -> str:
    """A new link for a user, who chooses a new password by it; older links stop working.

    Raises
    ------
    NoSuchUser
        If there is none of that name.
    AccessRefused
        If the user is disabled.
    """
    now = app.now()
    with app.database.write() as session:
        user = find_user(session, name)
        if user.disabled:
            raise AccessRefused(f"user {name} is disabled", f"enable it first: users enable {name}")
        record(session, actor, "user.link", at=now, subject=name)
        return _new_link(session, user, now)


def first_link(app: Application) -> str | None:
    """While nobody can sign in as an administrator: a link for one, made if need be."""
    now = app.now()
    with app.database.write() as session:
        ready = select(func.count()).where(
            User.role == Role.ADMIN, User.disabled.is_(False), User.password.is_not(None)
        )
        if session.scalar(ready):
            return None
        user = session.scalars(select(User).where(User.name == FIRST_ADMIN)).first()
        if user is None:
            user = User(name=FIRST_ADMIN, role=Role.ADMIN, password=None, created_at=now)
            session.add(user)
            session.flush()
        elif user.disabled or user.role != Role.ADMIN:
            return None  # somebody decided so; `pulmonode users` gives access again
        itself = Actor(name="console", role=Role.ADMIN, how=How.SERVICE)
        record(session, itself, "user.link", at=now, subject=user.name)
        return _new_link(session, user, now)


def set_password(app: Application, actor: Actor, name: str, password: str) -> None:
    """Give a user a password; they are signed out everywhere.

    Raises
    ------
    NoSuchUser
        If there is none of that name.
    AccessRefused
        If the password does not keep the rules.
    """
    digest = digest_of(password, user=name)  # slow, so outside of the transaction
    now = app.now()
    with app.database.write() as session:
        user = find_user(session, name)
        user.password = digest
        user.password_at = now
        end_sessions(session, user, now)
        _drop_links(session, user, now)
        record(session, actor, "user.password", at=now, subject=name)


def set_role(app: Application, actor: Actor, name: str, role: Role) -> None:
    """Give a user another role, at once.

    Raises
    ------
    NoSuchUser
        If there is none of that name.
    AccessRefused
        If it is the last administrator.
    """
    now = app.now()
    with app.database.write() as session:
        user = find_user(session, name)
        if role is not Role.ADMIN:
            _keep_one_admin(session, user)
        user.role = role
        record(session, actor, f"user.role.{role}", at=now, subject=name)


def set_disabled(app: Application, actor: Actor, name: str, *, disabled: bool) -> None:
    """Shut a user out, at once and everywhere, or let them in again.

    Raises
    ------
    NoSuchUser
        If there is none of that name.
    AccessRefused
        If it is the last administrator.
    """
    now = app.now()
    with app.database.write() as session:
        user = find_user(session, name)
        if disabled:
            _keep_one_admin(session, user)
            end_sessions(session, user, now)
            _drop_links(session, user, now)
        user.disabled = disabled
        record(session, actor, "user.disable" if disabled else "user.enable", at=now, subject=name)


def find_user(session: Session, name: str) -> User:
    """The user of that name.

    Raises
    ------
    NoSuchUser
        If there is none.
    """
    user = session.scalars(select(User).where(User.name == name)).first()
    if user is None:
        raise NoSuchUser(name)
    return user


def end_sessions(session: Session, user: User, now: float, *, but: int | None = None) -> None:
    """Sign a user out everywhere, one session perhaps excepted."""
    session.execute(
        update(ConsoleSession)
        .where(
            ConsoleSession.user_id == user.id,
            ConsoleSession.ended_at.is_(None),
            ConsoleSession.id != (but or 0),
        )
        .values(ended_at=now)
    )


def _keep_one_admin(session: Session, user: User) -> None:
    others = session.scalar(
        select(func.count()).where(
            User.role == Role.ADMIN, User.disabled.is_(False), User.id != user.id
        )
    )
    if user.role == Role.ADMIN and not user.disabled and not others:
        raise AccessRefused(
            f"{user.name} is the last administrator", "make somebody else one first"
        )


def _new_link(session: Session, user: User, now: float) -> str:
    _drop_links(session, user, now)
    token = new_token()
    session.add(
        SignInLink(
            token_sha256=digest_of_token(token),
            user_id=user.id,
            created_at=now,
            expires_at=now + LINK_LASTS_S,
        )
    )
    return token


def _drop_links(session: Session, user: User, now: float) -> None:
    session.execute(
        update(SignInLink)
        .where(SignInLink.user_id == user.id, SignInLink.used_at.is_(None))
        .values(used_at=now)
    )
