"""indexes by which the work of every moment is found among very many jobs"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

GO = {
    "job_state_next": "job",
    "delivery_state_next": "delivery",
    "instance_study": "instance",
}
COME = {
    "job_choose": ("job", ["state", "priority", "created_at", "id"]),
    "job_hinted": ("job", ["state", "hinted_at"]),
    "delivery_hinted": ("delivery", ["state", "hinted_at"]),
    "delivery_awaits": ("delivery", ["state", "awaits_commitment_until"]),
    "result_recorded": ("result", ["recorded"]),
    "instance_study": ("instance", ["study_uid", "received_at"]),
}


def upgrade() -> None:
    for name, table in GO.items():
        op.drop_index(name, table_name=table)
    for name, (table, columns) in COME.items():
        op.create_index(name, table, columns)
