"""Which errors of the use cases become which problem; anything else is a fault of ours (500)."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from workers.access_errors import (
    AccessRefused,
    NoSuchUser,
    NotSignedIn,
    RequestRefused,
    RoleTooLow,
    TooManyAttempts,
)
from workers.console.access import CsrfRefused
from workers.console.guards import BodyTooLarge, too_large
from workers.console.problems import Problem, of_status
from workers.errors import (
    AnswerRefused,
    BankChangeRefused,
    BrokerUnavailable,
    ContextRefused,
    IllegalTransition,
    MessageNotKept,
    NoResult,
    NoSuchDestination,
    NoSuchJob,
    ObjectChanged,
    ObjectMissing,
    ResultNotTold,
    StoreUnavailable,
    WorkersError,
)

KNOWN: dict[type[WorkersError], tuple[int, str, str, str]] = {
    NoSuchJob: (404, "no_such_job", "There is no such job", "list the jobs there are"),
    NoResult: (404, "no_result", "The job has no result", "look at the job's state and history"),
    NoSuchUser: (404, "no_such_user", "There is no such user", "list the users there are"),
    NoSuchDestination: (
        404,
        "no_such_destination",
        "There is no such destination",
        "list the destinations there are",
    ),
    IllegalTransition: (
        409,
        "illegal_transition",
        "The job's state does not allow this",
        "look at the job's state and history",
    ),
    AccessRefused: (422, "access_refused", "That cannot be accepted", ""),
    RequestRefused: (422, "request_refused", "That cannot be accepted", ""),
    AnswerRefused: (422, "answer_refused", "That cannot be accepted", ""),
    BankChangeRefused: (422, "bank_change_refused", "That cannot be accepted", ""),
    ContextRefused: (422, "context_refused", "That cannot be accepted", ""),
    MessageNotKept: (503, "message_not_kept", "The disk does not take it", "send it again later"),
    ResultNotTold: (
        409,
        "result_not_told",
        "The result cannot be told of",
        "take a profile that has a structured report",
    ),
    NotSignedIn: (
        401,
        "not_signed_in",
        "Not signed in",
        "sign in, or send 'Authorization: Bearer TOKEN' with a token that counts",
    ),
    RoleTooLow: (
        403,
        "role_too_low",
        "Your role may not do this",
        "ask an administrator for another role",
    ),
    TooManyAttempts: (429, "too_many_attempts", "Too many failed sign-ins", "wait, then try again"),
    BrokerUnavailable: (503, "broker_unavailable", "The broker does not answer", "try again"),
    StoreUnavailable: (503, "store_unavailable", "The object store does not answer", "try again"),
    ObjectMissing: (
        503,
        "object_missing",
        "An object is not in the object store",
        "run 'pulmonode doctor'; restore the store from its backup",
    ),
    ObjectChanged: (
        500,
        "object_changed",
        "An object in the store is not what was kept there",
        "restore the store from its backup",
    ),
}
"""Error -> (status, code, title, remedy); an empty remedy is the error's own."""


def problem_of(error: Exception) -> Problem:
    """The problem that an error becomes."""
    if isinstance(error, BodyTooLarge):
        return too_large(error.limit_bytes)
    if isinstance(error, CsrfRefused):
        return Problem(
            status=403,
            code="csrf_refused",
            title="This page is out of date",
            detail="the request does not carry the token of your session",
            remedy="load the page again and repeat what you did",
        )
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        unread = "the body cannot be read as what it says it is" if error.status_code == 400 else ""
        return of_status(error.status_code, unread)
    if isinstance(error, WorkersError):
        for kind in type(error).__mro__:
            if kind in KNOWN:
                status, code, title, remedy = KNOWN[kind]
                own = getattr(error, "remedy", "")
                why = getattr(error, "why", None) if own else None
                return Problem(
                    status=status,
                    code=code,
                    title=title,
                    detail=why or str(error),
                    remedy=remedy or own,
                )
    return Problem(
        status=500,
        code="fault",
        title="Something went wrong here",
        detail="the console's log names the error",
        remedy="try again; if it stays, report it with the time of day",
    )


def database_away() -> Problem:
    """What is said while the state database does not answer."""
    return Problem(
        status=503,
        code="database_away",
        title="The state database does not answer",
        detail="instances are received meanwhile, and nothing is lost",
        remedy="look at the database, then try again",
    )


def _invalid(error: RequestValidationError) -> Problem:
    """Names the fields and what is wrong with them, never what came in them."""
    parts = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    ]
    return Problem(
        status=422,
        code="invalid_request",
        title="The request is not as it must be",
        detail="; ".join(parts),
        remedy="see the description of the API (openapi.json)",
    )
