"""Changes of the bank in the site's audit, beside the bank's own history.

The bank is a folder that a machine without a database may hold as well, so what cannot be recorded
is said and stops nothing: the history in the folder names who changed what, whatever becomes of
this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inference.errors import BankRefused
from workers.application import open_application
from workers.cli.output import errors
from workers.errors import BankChangeRefused, WorkersError
from workers.settings import Settings
from workers.state.database import DATABASE_AWAY, SchemaMismatch
from workers.usecases.audit import Outcome, at_the_command_line, record_alone


@contextmanager
def recorded(
    settings: Settings, action: str, subject: str = "", *, really: bool = True
) -> Iterator[None]:
    """Record a change of the bank, or that it was refused.

    Parameters
    ----------
    action : str
        ``bank.verb``.
    subject : str
        The case, or the version; never the name of a file, which may tell of a patient.
    really : bool
        Whether it is carried out; what would change is only looked at, and not recorded.
    """
    if not really:
        yield
        return
    try:
        yield
    except (BankChangeRefused, BankRefused):
        _record(settings, action, subject, Outcome.REFUSED)
        raise
    _record(settings, action, subject, Outcome.DONE)


def _record(settings: Settings, action: str, subject: str, outcome: Outcome) -> None:
    if settings.state_url is None and not (settings.data_dir / "state.sqlite").exists():
        _tell_not_recorded("this machine has no database")  # and gets none by this command
        return
    try:
        app = open_application(settings)
    except (*DATABASE_AWAY, SchemaMismatch, WorkersError, OSError) as error:
        _tell_not_recorded(f"{type(error).__name__}: {error}")
        return
    try:
        record_alone(app, at_the_command_line(), action, subject=subject, outcome=outcome)
    finally:
        app.database.close()


def _tell_not_recorded(why: str) -> None:
    errors.print(
        f"not in the audit, only in the bank's history: {why}", highlight=False, soft_wrap=True
    )
