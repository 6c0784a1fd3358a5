"""Tasks that are simulated: with what, and rounds whose cohorts are clients without a node behind them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OF_NODES = ("assignments", "updates")


def upgrade() -> None:
    """No earlier task was simulated. What a cohort's members have to be is no longer for the schema to say."""
    op.add_column("tasks", sa.Column("simulation", sa.JSON()))
    for table in _OF_NODES:
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"fk_{table}_node_id", type_="foreignkey")
