"""facts of results for trends, and indexes for pages over very many jobs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INDEXES = {
    "job_state_id": ("job", ["state", "id"]),
    "job_state_since": ("job", ["state", "state_since"]),
    "job_since": ("job", ["state_since", "state"]),
    "job_created": ("job", ["created_at"]),
    "job_code": ("job", ["reason_code", "id"]),
    "job_calling": ("job", ["calling_ae", "id"]),
    "job_modality": ("job", ["modality", "id"]),
    "instance_received": ("instance", ["received_at", "size_bytes"]),
    "result_committed": ("result", ["committed_at", "nodule_count"]),
    "delivery_destination": ("delivery", ["destination", "state", "created_at"]),
    "delivery_delivered": ("delivery", ["destination", "delivered_at"]),
}


def upgrade() -> None:
    counts = [
        sa.Column(name, sa.Integer(), nullable=False)
        for name in ("nodules", "level_1", "level_2", "level_3", "level_4", "withheld")
    ]
    measures = [
        sa.Column(name, sa.Float(), nullable=True)
        for name in ("slice_spacing_mm", "air_hu", "blood_hu", "analysis_s")
    ]
    words = [
        sa.Column(name, sa.String(length=32), nullable=False)
        for name in ("device", "engine", "version")
    ]
    op.create_table(
        "result_facts",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("committed_at", sa.Float(), nullable=False),
        sa.Column("scanner", sa.String(length=200), nullable=False),
        sa.Column("kernel", sa.String(length=64), nullable=False),
        *counts,
        *measures,
        *words,
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("result_facts_scanner", "result_facts", ["scanner", "committed_at"])
    op.create_index("result_facts_at", "result_facts", ["committed_at"])
    with op.batch_alter_table("result") as table:
        table.add_column(
            sa.Column("has_facts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.create_index("result_has_facts", ["has_facts"])
    for name, (table_name, columns) in INDEXES.items():
        op.create_index(name, table_name, columns)
