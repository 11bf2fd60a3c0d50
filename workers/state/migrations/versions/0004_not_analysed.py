"""reports that nothing of a study could be analysed; none about what ended before"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "job",
        sa.Column("end_considered", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    op.create_index("job_end", "job", ["end_considered", "state_since"])
    op.create_table(
        "notice",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id"),
    )
