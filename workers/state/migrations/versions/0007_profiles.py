"""profiles of destinations, results that are withheld until the report is signed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("profiles", "destinations"):
        op.add_column("result_object", sa.Column(name, sa.JSON(), nullable=True))
    objects = sa.table(
        "result_object",
        sa.column("profiles", sa.JSON()),
        sa.column("destinations", sa.JSON()),
    )
    # Until now there was one profile, and one rejection note for whoever wanted it.
    op.execute(objects.update().values(profiles=["default"], destinations=[]))
    with op.batch_alter_table("result_object") as table:
        table.alter_column("profiles", existing_type=sa.JSON(), nullable=False)
        table.alter_column("destinations", existing_type=sa.JSON(), nullable=False)
        table.drop_column("profile")
    op.add_column(
        "delivery",
        sa.Column("profile", sa.String(length=32), nullable=False, server_default="default"),
    )
    op.create_table(
        "signed_report",
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("told_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("study_uid"),
    )
