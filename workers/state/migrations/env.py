"""Alembic's entry: runs migrations on the connection that `Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from workers.state.tables import whole_metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=whole_metadata(),
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,  # SQLite as well, where Alembic does not expect it: all or nothing
)
with context.begin_transaction():
    context.run_migrations()
