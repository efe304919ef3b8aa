"""Keep trials and verdicts, and find them again. SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, inspect, literal, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from seatrial_ci.gate.verdict import Verdict, worst
from seatrial_ci.history.connection import default_path, engine_of, explained, shown, url_of
from seatrial_ci.history.document import restore, same, strip
from seatrial_ci.history.entries import Entry, entries, entry, latest_outcome, narrowed
from seatrial_ci.history.figures import Point, points
from seatrial_ci.history.models import (
    SCHEMA_VERSION,
    Artifact,
    Base,
    DeviceRow,
    LabelRow,
    SamplesRow,
    SchemaVersion,
    TrialRow,
    VerdictRow,
)
from seatrial_ci.history.retention import Pruned, prune
from seatrial_ci.history.writing import add_trial, add_verdict
from seatrial_runner.records import Trial
from seatrial_targets.errors import HarnessError, UnknownNameError, UserError

__all__ = ["BUSY_SECONDS", "Entry", "History", "Point", "Pruned", "default_path"]

BUSY_SECONDS = 10.0
MAKING = 0x5EA7_71A1  # the advisory lock under which PostgreSQL's tables are made and upgraded


class History:
    """An open history. Close it, or use it as a context manager. Several processes may write at once."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place

    @classmethod
    def open(cls, place: str | Path | None = None, busy_seconds: float = BUSY_SECONDS) -> History:
        """Open the history at a path or SQLAlchemy URL; make it if there is none, upgrade it if it is older.

        By default that of $SEATRIAL_HISTORY, else `default_path`. Raises UserError when it is no history, or one of a
        newer Seatrial; HarnessError when it can't be opened, or its lock is held for ``busy_seconds``.
        """
        url = url_of(place)
        history = cls(engine_of(url, busy_seconds), shown(url))
        try:
            history._prepare()
        except BaseException:
            history.close()
            raise
        return history

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where it is, as it may be shown."""
        return self._place

    def add(self, trial: Trial, verdict: Verdict | None = None, labels: Mapping[str, str] | None = None) -> bool:
        """Keep ``trial`` and ``verdict``. Returns False, changing nothing, for a trial that is already kept.

        A verdict is kept beside those that the trial already has, unless it says the same. All or nothing is written.
        Raises UserError when another trial of the same id is kept, or the verdict is on another trial.
        """
        if verdict and verdict.trial_id != trial.id:
            raise UserError(f"the verdict is on trial {verdict.trial_id}, not on {trial.id}")
        document = strip(trial)
        with self._writing() as session:
            kept = session.get(TrialRow, trial.id)
            if kept and not same(kept.document, document):
                raise UserError(f"{self._place}: trial {trial.id} is already kept, with other content")
            if kept is None:
                add_trial(session, trial, document)
            if verdict:
                add_verdict(session, verdict)
            for key, value in (labels or {}).items():
                session.merge(LabelRow(trial_id=trial.id, key=key, value=value))
        return kept is None

    def labels(self, trial_id: str) -> dict[str, str]:
        """Return the labels of a trial."""
        with self._session() as session:
            rows = session.execute(select(LabelRow.key, LabelRow.value).where(LabelRow.trial_id == trial_id))
            return dict(sorted((key, value) for key, value in rows))

    def series(self, metric: str, limit: int | None = 1000, **where: str | None) -> builtins.list[Point]:
        """Return a figure of the candidates ("latency_p50", "peak_memory", ...) of the latest trials, oldest first.

        ``where`` narrows it by ``device``, ``target``, ``candidate`` or ``branch``.
        """
        with self._session() as session:
            return [Point(*row) for row in session.execute(points(metric, where, limit))][::-1]

    def identifier(self, beginning: str) -> str:
        """Return the id of the one trial that begins so. Raises UnknownNameError; UserError when there are several."""
        query = select(TrialRow.id).where(TrialRow.id.startswith(beginning, autoescape=True)).limit(2)
        with self._session() as session:
            found = session.scalars(query).all()
            if len(found) > 1:
                raise UserError(f"more than one trial begins with {beginning!r}; give more of its digits")
            if not found:
                raise _unknown(session, beginning)
            return found[0]

    def list(self, limit: int | None = 20, **where: str | None) -> builtins.list[Entry]:
        """Return the latest trials, newest first. ``where`` narrows: ``device``, ``target``, ``candidate``, ``branch``.

        None of ``limit`` is all.
        """
        with self._session() as session:
            return [entry(row) for row in session.execute(entries(where, limit))]

    def trial(self, trial_id: str) -> Trial:
        """Return a kept trial, with those of its samples that are. Raises UnknownNameError; HarnessError for damage."""
        with self._session() as session:
            row = session.get(TrialRow, trial_id)
            if row is None:
                raise _unknown(session, trial_id)
            samples = session.scalars(select(SamplesRow).where(SamplesRow.trial_id == trial_id)).all()
            try:
                return restore(row.document, samples)
            except (ValueError, KeyError, TypeError) as error:
                raise HarnessError(f"{self._place}: trial {trial_id} can't be read: {error}") from None

    def verdicts(self, trial_id: str) -> tuple[Verdict, ...]:
        """Return the verdicts on a trial, oldest first."""
        query = select(VerdictRow.document).where(VerdictRow.trial_id == trial_id).order_by(VerdictRow.id)
        with self._session() as session:
            return tuple(Verdict.model_validate_json(document) for document in session.scalars(query))

    def calibrations(
        self, device: str, candidate: str | None = None, target: str | None = None, limit: int = 5
    ) -> Iterator[Trial]:
        """Yield the latest finished A/A trials (a bundle against itself) on ``device``, newest first.

        ``candidate`` and ``target`` are those of the bundle: noise is that of a model on a device. A damaged trial is
        left out.
        """
        query = (
            select(TrialRow.id)
            .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
            .join(Artifact, TrialRow.candidate_digest == Artifact.digest)
            .where(TrialRow.candidate_digest == TrialRow.baseline_digest, TrialRow.status == "ok")
            .order_by(TrialRow.started_unix_ns.desc())
            .limit(limit)
        )
        query = narrowed(query, {"device": device, "candidate": candidate, "target": target})
        with self._session() as session:
            found = session.scalars(query).all()
        for identifier in found:
            try:
                trial = self.trial(identifier)
            except HarnessError:
                continue
            yield trial

    def outcome_of(self, digest: str, device: str) -> tuple[str, str] | None:
        """Return (outcome, trial id) of the latest verdict on the bundle ``digest`` on ``device``; None without one.

        What was measured on a stand-in or under emulation says nothing, and is left out.
        """
        query = (
            select(latest_outcome(), TrialRow.id)
            .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
            .where(TrialRow.candidate_digest == digest, DeviceRow.name == device, DeviceRow.stamp == "")
            .where(select(VerdictRow.id).where(VerdictRow.trial_id == TrialRow.id).exists())
            .order_by(TrialRow.started_unix_ns.desc())
            .limit(1)
        )
        with self._session() as session:
            row = session.execute(query).first()
            return (str(row[0]), str(row[1])) if row else None

    def verdict_of(self, digest: str) -> Verdict | None:
        """Return the verdict on the bundle ``digest``: the worst of the latest ones of each device; None without one.

        What was measured on a stand-in or under emulation is left out.
        """
        query = (
            select(DeviceRow.name, VerdictRow.document)
            .join(TrialRow, VerdictRow.trial_id == TrialRow.id)
            .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
            .where(TrialRow.candidate_digest == digest, DeviceRow.stamp == "")
            .order_by(TrialRow.started_unix_ns, VerdictRow.id)
        )
        with self._session() as session:
            latest = {device: Verdict.model_validate_json(text) for device, text in session.execute(query)}
        wanted = worst(verdict.outcome for verdict in latest.values()) if latest else None
        return next((verdict for verdict in latest.values() if verdict.outcome is wanted), None)

    def prune(self, before_unix_ns: int, *, samples_only: bool = False, dry_run: bool = False) -> Pruned:
        """Remove trials that began before ``before_unix_ns``, or only their samples, which are nearly all of the bytes.

        Always kept are: trials with a tag or release, the latest of each bundle's name and target on each device, and
        the latest calibration of each device. Returns what was removed, or with ``dry_run`` would be.
        """
        with self._writing() as session:
            found = prune(session, before_unix_ns, samples_only=samples_only, dry_run=dry_run)
        if found.trials and not dry_run and self._engine.dialect.name == "sqlite":
            # A file of SQLite does not shrink by itself; where somebody reads it now, it shrinks the next time.
            with suppress(OperationalError), self._engine.connect() as raw:
                raw.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM"))
        return found

    def export(self, folder: Path, *, samples: bool = False) -> dict[str, int]:
        """Write the tables to ``folder`` as Parquet. Returns the rows of each. Needs the extra [parquet]."""
        from seatrial_ci.history.parquet import write_tables

        with explained(self._place), self._engine.connect() as connection:
            return write_tables(connection, folder, samples=samples)

    def _prepare(self) -> None:
        with explained(self._place):
            tables = inspect(self._engine).get_table_names()
            if tables and SchemaVersion.__tablename__ not in tables:
                raise UserError(f"{self._place}: this database is not a Seatrial history; name another place")
            found = self._version() if tables else None
            if found is None:  # new, or another process is just making it
                self._create()
                found = self._version()
            if found is not None and found < SCHEMA_VERSION:
                from seatrial_ci.history.upgrade import upgrade

                upgrade(self._engine, found)
        if found is None or found > SCHEMA_VERSION:
            raise UserError(
                f"{self._place}: the history has schema {found}, this Seatrial knows {SCHEMA_VERSION}; upgrade Seatrial"
            )

    def _version(self) -> int | None:
        with Session(self._engine) as session:
            return session.scalar(select(SchemaVersion.version))

    def _create(self) -> None:
        """Make the tables; harmless when another process makes them at the same moment."""
        from importlib.metadata import version

        from seatrial_ci.history.upgrade import stamp

        with self._engine.begin() as connection:
            _alone(connection)
            for table in Base.metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    connection.execute(CreateIndex(index, if_not_exists=True))
        row = {"id": 1, "version": SCHEMA_VERSION, "seatrial_version": version("seatrial")}
        with self._engine.begin() as connection:
            _alone(connection)
            values = select(*(literal(value) for value in row.values())).where(~select(SchemaVersion.id).exists())
            if connection.execute(insert(SchemaVersion).from_select(list(row), values)).rowcount:
                stamp(connection)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with explained(self._place), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Yield a session that holds the write lock, so that what it reads can't change until it has written."""
        with self._session() as session:
            session.execute(update(SchemaVersion).values(version=SchemaVersion.version))
            yield session


def _alone(connection: Connection) -> None:
    """PostgreSQL's `IF NOT EXISTS` is not safe against another that makes the same table at the same moment."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})


def _unknown(session: Session, name: str) -> UnknownNameError:
    known = session.scalars(select(TrialRow.id).order_by(TrialRow.started_unix_ns.desc()).limit(1000)).all()
    return UnknownNameError("trial", name, known, "`seatrial history list` shows the latest")
