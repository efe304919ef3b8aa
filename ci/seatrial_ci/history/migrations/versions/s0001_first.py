"""The first schema. Files of it were made without Alembic, so that this step is only ever stamped, and tested."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of schema 1."""
    op.create_table(
        "schema_version",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("seatrial_version", sa.String, nullable=False),
    )
    op.create_table(
        "artifact",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("precision", sa.String, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("name", "target", "transport", "stamp")),
        sa.UniqueConstraint("name", "target", "transport", "stamp"),
    )
    _trial()
    _parts()


def _trial() -> None:
    op.create_table(
        "trial",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("device_id", sa.Integer, sa.ForeignKey("device.id"), nullable=False),
        sa.Column("candidate_digest", sa.String, sa.ForeignKey("artifact.digest"), nullable=False),
        sa.Column("baseline_digest", sa.String, sa.ForeignKey("artifact.digest")),
        sa.Column("started_unix_ns", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("trial_by_device", "trial", ["device_id", "started_unix_ns"])
    op.create_index("trial_by_time", "trial", ["started_unix_ns"])


def _parts() -> None:
    op.create_table(
        "run",
        sa.Column("trial_id", sa.String, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("run_index", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("kind", "status", "invalid")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("started_unix_ns", "duration_ns")),
    )
    op.create_table(
        "samples",
        sa.Column("trial_id", sa.String, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("run_index", sa.Integer, primary_key=True),
        sa.Column("arm", sa.String, primary_key=True),
        sa.Column("channel", sa.String, primary_key=True),
        sa.Column("dtype", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("trial_id", sa.String, sa.ForeignKey("trial.id"), nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("rule", "outcome", "document")),
    )
    op.create_index("verdict_by_trial", "verdict", ["trial_id"])
