"""The table of workers; times as in `schema`."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from workers.state.schema import Base


class Worker(Base):
    """A worker that was heard of (usecases/heartbeat.py).

    `name` is its host and process number, as before the slash in the owners of leases it may be
    another process of the same worker. `device` is what it computes on ("cpu", "cuda:0"), empty
    before its first analysis; GPU columns are what torch saw after the last one, else `None`.
    """

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    host: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]
    queues: Mapped[list[str]]
    processes: Mapped[int]
    version: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[float]
    seen_at: Mapped[float]
    stopped_at: Mapped[float | None]
    device: Mapped[str] = mapped_column(String(32), default="")
    gpu_name: Mapped[str] = mapped_column(String(64), default="")
    gpu_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    gpu_used_bytes: Mapped[int | None] = mapped_column(BigInteger)
