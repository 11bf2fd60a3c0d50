"""Errors of who may do what, and of consoles elsewhere.

::

    WorkersError
    ├── AccessRefused        a user, password, link or token is not as it must be
    ├── NoSuchUser           no user has that name
    ├── NotSignedIn          no session, or it has ended; or a wrong password
    ├── TooManyAttempts      too many failed sign-ins lately (transient)
    ├── RoleTooLow           whoever acts may not do that
    ├── RequestRefused       what a program asked for does not hold together
    ├── ServerRefused        a console elsewhere refused what a command asked
    └── ServerUnavailable    a console elsewhere did not answer (transient)
"""

from __future__ import annotations

from workers.errors import WorkersError


class AccessRefused(WorkersError):
    """A user, password, link or token is not as it must be.

    Attributes
    ----------
    why : str
        What is wrong.
    remedy : str
        What to do.
    """

    def __init__(self, why: str, remedy: str) -> None:
        self.why = why
        self.remedy = remedy
        super().__init__(f"{why}: {remedy}")


class NoSuchUser(WorkersError):
    """No user has that name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no user {name}: 'pulmonode users list' shows who there is")


class NotSignedIn(WorkersError):
    """There is no session or token, or it does not count any more; or a wrong password."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"not signed in: {why}")


class TooManyAttempts(WorkersError):
    """Too many failed sign-ins of this user, or from this address."""

    transient = True

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"too many failed sign-ins: try again in {wait_s / 60:.0f} minutes")


class RoleTooLow(WorkersError):
    """Whoever acts may not do that."""

    def __init__(self, found: str, wanted: str) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(f"role {found} may not do this: it needs {wanted}")


class RequestRefused(WorkersError):
    """What a program asked for does not hold together."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why = why
        self.remedy = remedy
        super().__init__(f"{why}: {remedy}")


class ServerRefused(WorkersError):
    """A console elsewhere refused what a command asked."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class ServerUnavailable(WorkersError):
    """A console elsewhere did not answer, or not as a console does."""

    transient = True

    def __init__(self, server: str, why: str) -> None:
        self.server = server
        self.why = why
        super().__init__(f"{server}: {why}")
