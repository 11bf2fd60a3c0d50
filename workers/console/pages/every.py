"""All pages, in the order in which their paths are tried."""

from __future__ import annotations

from workers.console.pages import (
    account,
    answers,
    audit,
    destinations,
    job,
    overview,
    queue,
    result,
    rules,
    settings,
    sign_in,
    storage,
    users,
    workers,
)

PAGES = (
    sign_in.router,
    overview.router,
    queue.router,
    result.router,
    job.router,
    destinations.router,
    workers.router,
    storage.router,
    rules.router,
    answers.router,
    settings.router,
    audit.router,
    users.router,
    account.router,
)
