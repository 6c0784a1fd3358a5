"""What a rule made of each update, and the server optimiser's state beside the model that it belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns are added empty: earlier rounds were plain means, without state."""
    op.add_column("updates", sa.Column("cosine", sa.Float()))
    op.add_column("updates", sa.Column("score", sa.Float()))
    op.add_column("updates", sa.Column("reason", sa.Text()))
    op.add_column("model_versions", sa.Column("state_sha256", sa.Text()))
    op.create_index(op.f("ix_model_versions_state_sha256"), "model_versions", ["state_sha256"])
