"""Run the steps on the connection that `seatrial_ci.history.upgrade` gives; Alembic loads this file by its name."""

from __future__ import annotations

from alembic import context

from seatrial_ci.history.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
