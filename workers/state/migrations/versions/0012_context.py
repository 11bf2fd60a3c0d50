"""clinical context: messages, persons, values, reports, links, and what results used"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _string(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _of(column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"])


def upgrade() -> None:
    op.create_table(
        "context_message",
        _number("id"),
        _string("source", 8),
        _text("sender"),
        _string("control_id", 255),
        _string("sha256", 64),
        _string("kind", 64),
        _string("said_at", 32),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=False),
        _string("state", 8),
        _string("reason_code", 64),
        _text("reason"),
        _string("file", 128),
        sa.Column("considered", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sender", "control_id", "sha256"),
    )
    op.create_index("context_message_state", "context_message", ["state", "considered", "id"])
    op.create_table(
        "context_person",
        _number("id"),
        _number("message_id"),
        _text("patient_id"),
        _text("issuer"),
        sa.Column("names", sa.JSON(), nullable=False),
        _string("birth_date", 8),
        _string("sex", 4),
        sa.Column("is_identity", sa.Boolean(), nullable=False),
        _of("message_id", "context_message"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("context_person_patient", "context_person", ["patient_id", "issuer"])
    op.create_index("context_person_message", "context_person", ["message_id"])
    for table, word, length in (("context_value", "item", 64), ("context_report", "kind", 16)):
        op.create_table(
            table,
            _number("id"),
            _number("person_id"),
            _string(word, length),
            sa.Column("content", sa.JSON(), nullable=False),
            _of("person_id", "context_person"),
            sa.PrimaryKeyConstraint("id"),
        )
        op.create_index(f"{table}_person", table, ["person_id"])
    op.create_table(
        "context_link",
        _number("id"),
        _string("kind", 8),
        _text("from_id"),
        _text("from_issuer"),
        _text("into_id"),
        _text("into_issuer"),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        _string("told_by", 128),
        _of("message_id", "context_message"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("context_link_from", "context_link", ["from_id", "from_issuer"])
    op.create_index("context_link_into", "context_link", ["into_id", "into_issuer"])
    op.create_table(
        "used_context",
        _number("job_id"),
        _string("digest", 64),
        sa.Column("content", sa.JSON(), nullable=False),
        _of("job_id", "job"),
        sa.PrimaryKeyConstraint("job_id"),
    )
