"""Keep trials and verdicts, and find them again. SQLite in WAL mode by default; migrations come later."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, Select, create_engine, event, func, insert, inspect, literal, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from seatrial_ci.gate.verdict import Verdict
from seatrial_ci.history.document import restore, same, samples_of, strip
from seatrial_ci.history.models import (
    SCHEMA_VERSION,
    Artifact,
    Base,
    DeviceRow,
    RunRow,
    SamplesRow,
    SchemaVersion,
    TrialRow,
    VerdictRow,
)
from seatrial_runner.records import BundleInfo, Trial
from seatrial_targets.errors import HarnessError, UnknownNameError, UserError

BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Entry:
    """A line of the history. ``outcome`` is that of the latest verdict, or empty."""

    trial_id: str
    started_unix_ns: int
    device: str
    target: str
    stamp: str
    candidate: str
    baseline: str
    status: str
    outcome: str


class History:
    """An open history. Close it, or use it as a context manager. Several processes may write at once."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place

    @classmethod
    def open(cls, place: str | Path | None = None, busy_seconds: float = BUSY_SECONDS) -> History:
        """Open the history at a path or SQLAlchemy URL, by default `default_path`; make it if there is none.

        Raises UserError when it is no history, or one of a newer Seatrial; HarnessError when it can't be opened, or
        another process holds its lock for ``busy_seconds``.
        """
        url = _url(place)
        shown = url.database if url.drivername.startswith("sqlite") and url.database else url.render_as_string()
        history = cls(_engine(url, busy_seconds), shown)
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

    def add(self, trial: Trial, verdict: Verdict | None = None) -> bool:
        """Keep ``trial`` and ``verdict``. Returns False, changing nothing, for a trial that is already kept.

        A verdict is kept beside those that the trial already has, unless it says the same. All or nothing is written.
        Raises UserError when another trial of the same id is kept, or the verdict is on another trial.
        """
        if verdict and verdict.trial_id != trial.id:
            raise UserError(f"the verdict is on trial {verdict.trial_id}, not on {trial.id}")
        document = strip(trial)
        with self._session() as session:
            # The first statement takes the write lock, so that what is read next can't change.
            session.execute(update(SchemaVersion).values(version=SchemaVersion.version))
            kept = session.get(TrialRow, trial.id)
            if kept and not same(kept.document, document):
                raise UserError(f"{self._place}: trial {trial.id} is already kept, with other content")
            if kept is None:
                _add_trial(session, trial, document)
            if verdict:
                _add_verdict(session, verdict)
        return kept is None

    def list(
        self, limit: int = 20, *, device: str | None = None, target: str | None = None, candidate: str | None = None
    ) -> list[Entry]:
        """Return the latest ``limit`` trials, newest first; only those of a device, target or candidate if named."""
        query = _entries().order_by(TrialRow.started_unix_ns.desc(), TrialRow.id).limit(limit)
        wanted = {DeviceRow.name: device, Artifact.target: target, Artifact.name: candidate}
        for column, value in wanted.items():
            query = query if value is None else query.where(column == value)
        with self._session() as session:
            return [_entry(row) for row in session.execute(query)]

    def trial(self, trial_id: str) -> Trial:
        """Return a kept trial, samples and all. Raises UnknownNameError, HarnessError when it is damaged."""
        with self._session() as session:
            row = session.get(TrialRow, trial_id)
            if row is None:
                raise UnknownNameError("trial", trial_id, session.scalars(select(TrialRow.id).limit(1000)).all())
            samples = session.scalars(select(SamplesRow).where(SamplesRow.trial_id == trial_id)).all()
            try:
                return restore(row.document, samples)
            except (ValueError, KeyError) as error:
                raise HarnessError(f"{self._place}: trial {trial_id} can't be read: {error}") from None

    def verdicts(self, trial_id: str) -> tuple[Verdict, ...]:
        """Return the verdicts on a trial, oldest first."""
        query = select(VerdictRow.document).where(VerdictRow.trial_id == trial_id).order_by(VerdictRow.id)
        with self._session() as session:
            return tuple(Verdict.model_validate_json(document) for document in session.scalars(query))

    def _prepare(self) -> None:
        with self._explained():
            tables = inspect(self._engine).get_table_names()
            if tables and SchemaVersion.__tablename__ not in tables:
                raise UserError(f"{self._place}: this database is not a Seatrial history; name another place")
            found = self._version() if tables else None
            if found is None:  # new, or another process is just making it
                self._create()
                found = self._version()
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

        with self._engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    connection.execute(CreateIndex(index, if_not_exists=True))
        row = {"id": 1, "version": SCHEMA_VERSION, "seatrial_version": version("seatrial")}
        with Session(self._engine) as session, session.begin():
            values = select(*(literal(value) for value in row.values())).where(~select(SchemaVersion.id).exists())
            session.execute(insert(SchemaVersion).from_select(list(row), values))

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._explained(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the database's errors into ours."""
        try:
            yield
        except OperationalError as error:
            if "locked" in str(error.orig) or "busy" in str(error.orig):
                text = "another process kept it locked; try again when it has finished"
                raise HarnessError(f"{self._place}: {text}") from error
            raise HarnessError(
                f"{self._place}: the history can't be used: {error.orig}; nothing was changed"
            ) from error
        except DatabaseError as error:
            if "not a database" in str(error.orig) or "malformed" in str(error.orig):
                raise UserError(
                    f"{self._place}: not a history, or damaged ({error.orig}); name another place"
                ) from error
            raise HarnessError(f"{self._place}: {error.orig}; nothing was changed") from error
        except SQLAlchemyError as error:
            raise HarnessError(f"{self._place}: {error}") from error


def default_path() -> Path:
    """Return $XDG_DATA_HOME/seatrial/history.sqlite, by default below ~/.local/share."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "seatrial" / "history.sqlite"


def _url(place: str | Path | None) -> URL:
    if isinstance(place, str) and "://" in place:
        try:
            return make_url(place)
        except (ArgumentError, ValueError):  # neither is shown: it may hold a password
            raise UserError(
                "the history is not a database URL, such as sqlite:///file or postgresql://host/name"
            ) from None
    path = Path(place) if place else default_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"{path.parent}: can't be made for the history: {error.strerror}") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file for the history")
    return URL.create("sqlite", database=str(path))


def _engine(url: URL, busy_seconds: float) -> Engine:
    sqlite = url.drivername.startswith("sqlite")
    try:
        engine = create_engine(url, connect_args={"timeout": busy_seconds} if sqlite else {})
    except (NoSuchModuleError, ImportError) as error:
        raise UserError(f"{url.drivername}: no driver for this database is installed: {error}") from None
    if sqlite:
        event.listen(engine, "connect", _tune)
    return engine


def _tune(connection: Any, _record: object) -> None:
    """Readers do not wait for the writer (WAL); a crash of the machine may lose the last trial, never the file."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _entry(row: Row[Any]) -> Entry:
    values = tuple(row)
    return Entry(values[0], values[1], *(text or "" for text in values[2:]))


def _entries() -> Select[Any]:
    latest = select(func.max(VerdictRow.id).label("id"), VerdictRow.trial_id).group_by(VerdictRow.trial_id).subquery()
    baseline = Artifact.__table__.alias("baseline")
    return (
        select(
            TrialRow.id,
            TrialRow.started_unix_ns,
            DeviceRow.name,
            Artifact.target,
            DeviceRow.stamp,
            Artifact.name,
            baseline.c.name,
            TrialRow.status,
            VerdictRow.outcome,
        )
        .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
        .join(Artifact, TrialRow.candidate_digest == Artifact.digest)
        .outerjoin(baseline, TrialRow.baseline_digest == baseline.c.digest)
        .outerjoin(latest, latest.c.trial_id == TrialRow.id)
        .outerjoin(VerdictRow, VerdictRow.id == latest.c.id)
    )


def _add_trial(session: Session, trial: Trial, document: bytes) -> None:
    for bundle in trial.bundles.values():
        if session.get(Artifact, bundle.digest) is None:
            session.add(_artifact(bundle))
    baseline = trial.bundles.get("baseline")
    row = TrialRow(
        id=trial.id,
        device_id=_device_id(session, trial),
        candidate_digest=trial.bundles["candidate"].digest,
        baseline_digest=baseline.digest if baseline else None,
        started_unix_ns=trial.started_unix_ns,
        status=trial.status,
        document=document,
    )
    session.add(row)
    session.flush()
    session.add_all(_run_rows(trial))
    session.add_all(samples_of(trial))


def _artifact(bundle: BundleInfo) -> Artifact:
    figures = json.loads(bundle.model_dump_json(include={"parity", "accuracy"}))
    return Artifact(
        digest=bundle.digest,
        name=bundle.name,
        target=bundle.target,
        precision=bundle.precision,
        size_bytes=bundle.size_bytes,
        figures=figures,
    )


def _device_id(session: Session, trial: Trial) -> int:
    named = trial.device.model_dump()
    found = session.scalar(select(DeviceRow).filter_by(**named))
    if found is None:
        found = DeviceRow(**named)
        session.add(found)
        session.flush()
    return found.id


def _run_rows(trial: Trial) -> list[RunRow]:
    keys = ("kind", "status", "invalid", "started_unix_ns", "duration_ns")
    return [
        RunRow(trial_id=trial.id, run_index=run.index, **{key: getattr(run, key) for key in keys}) for run in trial.runs
    ]


def _add_verdict(session: Session, verdict: Verdict) -> None:
    document = verdict.model_dump_json(by_alias=True)
    if session.scalar(select(VerdictRow.id).filter_by(trial_id=verdict.trial_id, document=document)) is None:
        session.add(
            VerdictRow(trial_id=verdict.trial_id, rule=verdict.rule, outcome=verdict.outcome.value, document=document)
        )
