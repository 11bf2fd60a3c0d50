"""object store keys, corrections, PACS counts, files kept aside, alarms"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as table:
        table.add_column(sa.Column("correction", sa.Text(), nullable=True))
        table.add_column(sa.Column("pacs_asked_at", sa.Float(), nullable=False, server_default="0"))
        table.add_column(sa.Column("pacs_answer", sa.Integer(), nullable=True))
        table.add_column(sa.Column("pacs_agrees", sa.Boolean(), nullable=True))
        table.add_column(
            sa.Column("pacs_answers_alike", sa.Integer(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("instance") as table:
        table.add_column(
            sa.Column("stored", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        table.alter_column("size_bytes", type_=sa.BigInteger(), existing_nullable=False)
    with op.batch_alter_table("result_object") as table:
        table.alter_column("size_bytes", type_=sa.BigInteger(), existing_nullable=False)
    with op.batch_alter_table("result") as table:
        table.add_column(
            sa.Column("recorded", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_table(
        "kept_aside",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("kept_aside_job", "kept_aside", ["job_id"])
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.Float(), nullable=False),
        sa.Column("cleared_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alarm_open", "alarm", ["cleared_at", "code"])
