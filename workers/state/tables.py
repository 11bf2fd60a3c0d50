"""Every table of the state database, wherever it is declared."""

from __future__ import annotations

from sqlalchemy import MetaData

from workers.state import (  # noqa: F401 - each adds its tables to the same metadata
    access_tables,
    answer_tables,
    context_tables,
    fact_tables,
    notice_tables,
    retention_tables,
    worker_tables,
)
from workers.state.schema import Base


def whole_metadata() -> MetaData:
    """The metadata with all of them."""
    return Base.metadata
