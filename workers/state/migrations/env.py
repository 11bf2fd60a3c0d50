"""Alembic's entry: runs migrations on the connection that `Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from workers.state import (  # noqa: F401 - tables of the same metadata
    access_tables,
    answer_tables,
    fact_tables,
    retention_tables,
    worker_tables,
)
from workers.state.schema import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
