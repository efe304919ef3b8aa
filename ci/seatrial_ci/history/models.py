"""Tables of the history.

History of the schema (table ``schema_version``); an older one is upgraded by ``migrations``, a newer one refused:
- 1: first.
- 2: labels, and figures as rows.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 2


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, bytes: LargeBinary, float: Double}  # noqa: RUF012


class SchemaVersion(Base):
    """One row: the version of these tables. Writers update it first, which takes the write lock."""

    __tablename__ = "schema_version"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    seatrial_version: Mapped[str]


class Artifact(Base):
    """A bundle, by its digest."""

    __tablename__ = "artifact"
    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    target: Mapped[str]
    precision: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    figures: Mapped[dict[str, Any]]  # parity and accuracy, infinite numbers as text


class DeviceRow(Base):
    """A device as trials named it."""

    __tablename__ = "device"
    __table_args__ = (UniqueConstraint("name", "target", "transport", "stamp"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    target: Mapped[str]
    transport: Mapped[str]
    stamp: Mapped[str]


class TrialRow(Base):
    """A trial; ``document`` is its zlib'd JSON without the samples, which are rows of their own."""

    __tablename__ = "trial"
    __table_args__ = (
        Index("trial_by_device", "device_id", "started_unix_ns"),
        Index("trial_by_time", "started_unix_ns"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[int] = mapped_column(ForeignKey("device.id"))
    candidate_digest: Mapped[str] = mapped_column(ForeignKey("artifact.digest"))
    baseline_digest: Mapped[str | None] = mapped_column(ForeignKey("artifact.digest"))
    started_unix_ns: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    document: Mapped[bytes]


class RunRow(Base):
    """One run of a trial."""

    __tablename__ = "run"
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    run_index: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    invalid: Mapped[str]
    started_unix_ns: Mapped[int] = mapped_column(BigInteger)
    duration_ns: Mapped[int] = mapped_column(BigInteger)


class SamplesRow(Base):
    """The samples of one channel of one arm of a run: ``data`` is zlib'd little-endian ``dtype``, ns."""

    __tablename__ = "samples"
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    run_index: Mapped[int] = mapped_column(primary_key=True)
    arm: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    dtype: Mapped[str]
    count: Mapped[int]
    data: Mapped[bytes]


class VerdictRow(Base):
    """A verdict on a trial; the same trial may be judged again by other budgets."""

    __tablename__ = "verdict"
    __table_args__ = (Index("verdict_by_trial", "trial_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"))
    rule: Mapped[str]
    outcome: Mapped[str]
    document: Mapped[str]  # JSON


class LabelRow(Base):
    """What a trial was of: branch, commit, tag, release, or the user's own key."""

    __tablename__ = "label"
    __table_args__ = (Index("label_by_value", "key", "value"),)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class FigureRow(Base):
    """A figure of a bundle in a trial with its 95 % interval over runs, in ``unit`` (ns, bytes, mJ).

    ``likeness`` tells what a trend must not be drawn across: runtime, operating system, kind of agent. The time is the
    trial's, so that the latest of a metric are found by the index alone.
    """

    __tablename__ = "figure"
    __table_args__ = (Index("figure_by_metric", "metric", "role", "started_unix_ns"),)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    unit: Mapped[str]
    value: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    runs: Mapped[int]
    started_unix_ns: Mapped[int] = mapped_column(BigInteger)
    likeness: Mapped[str]
