"""What SCAFFOLD's control variates need: how many clients a round counts, and with which round a state began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns are added empty: no earlier round had control variates."""
    op.add_column("rounds", sa.Column("clients", sa.Integer()))
    op.add_column("model_versions", sa.Column("state_since", sa.Integer()))
