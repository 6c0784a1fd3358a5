"""Tasks that train adapters: which base model they are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No earlier task trained adapters."""
    op.add_column("tasks", sa.Column("base", sa.JSON()))
