"""Alembic's entry point: migrations run on the connection that `federation.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from federation.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
