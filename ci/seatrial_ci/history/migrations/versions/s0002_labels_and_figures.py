"""Labels of trials (branch, commit, tag, release), and their figures as rows, so that a trend opens no document."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the two tables; `seatrial_ci.history.upgrade` fills in the figures of the kept trials."""
    op.create_table(
        "label",
        sa.Column("trial_id", sa.String, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_index("label_by_value", "label", ["key", "value"])
    op.create_table(
        "figure",
        sa.Column("trial_id", sa.String, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("metric", sa.String, primary_key=True),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("started_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("likeness", sa.String, nullable=False),
    )
    op.create_index("figure_by_metric", "figure", ["metric", "role", "started_unix_ns"])
    op.execute(sa.text("UPDATE schema_version SET version = 2"))
