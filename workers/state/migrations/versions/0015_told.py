"""what an HL7 message told, so that the next one can correct it when the result was removed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("told", sa.JSON(), nullable=True))
