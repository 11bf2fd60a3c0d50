"""whose results they are, to find earlier examinations"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("result") as table:
        table.add_column(
            sa.Column("patient_key", sa.String(length=64), nullable=False, server_default="")
        )
        table.add_column(
            sa.Column("study_date", sa.String(length=8), nullable=False, server_default="")
        )
        table.create_index("result_patient", ["patient_key", "study_date"])
