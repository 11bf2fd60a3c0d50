"""by what a PET of another study of the same patient and day is found"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    day = sa.Column("patient_day", sa.String(length=64), nullable=False, server_default="")
    op.add_column("job", day)
    op.create_index("job_patient_day", "job", ["patient_day", "modality"])
