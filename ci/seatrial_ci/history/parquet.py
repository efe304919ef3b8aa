"""The tables of a history as Parquet files, for pandas, DuckDB and the like.

pyarrow writes them, since it is the format's own implementation; it is an extra, and imported here alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, select

from seatrial_ci.history.models import (
    Artifact,
    DeviceRow,
    FigureRow,
    LabelRow,
    RunRow,
    SamplesRow,
    TrialRow,
    VerdictRow,
)
from seatrial_ci.history.samples import Packed, unpack
from seatrial_targets.errors import HarnessError, UserError

AT_ONCE = 10_000  # rows in memory; of samples, which are whole runs, a hundredth


def write_tables(connection: Connection, folder: Path, *, samples: bool) -> dict[str, int]:
    """Write trials, runs, figures, verdicts, labels and, if wanted, samples. Returns the rows of each file.

    Each file is written beside its place and then moved there. Raises UserError without pyarrow; HarnessError.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError("export to Parquet needs pyarrow; run: pip install 'seatrial[parquet]'") from error
    tables = _tables()
    if samples:
        tables["samples"] = select(SamplesRow.__table__).order_by(SamplesRow.trial_id, SamplesRow.run_index)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _write(connection, query, folder / f"{name}.parquet", name) for name, query in tables.items()}
    except OSError as error:
        raise HarnessError(f"{folder}: can't be written: {error.strerror or error}; choose another folder") from error


def _tables() -> dict[str, Select[Any]]:
    baseline = Artifact.__table__.alias("baseline")
    columns: list[Any] = [
        TrialRow.id.label("trial_id"),
        TrialRow.started_unix_ns,
        TrialRow.status,
        DeviceRow.name.label("device"),
        DeviceRow.target.label("device_target"),
        DeviceRow.transport,
        DeviceRow.stamp,
        Artifact.name.label("candidate"),
        Artifact.target,
        Artifact.precision,
        Artifact.size_bytes,
        TrialRow.candidate_digest,
        baseline.c.name.label("baseline"),
        TrialRow.baseline_digest,
    ]
    trials = (
        select(*columns)
        .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
        .join(Artifact, TrialRow.candidate_digest == Artifact.digest)
        .outerjoin(baseline, TrialRow.baseline_digest == baseline.c.digest)
        .order_by(TrialRow.started_unix_ns, TrialRow.id)
    )
    whole = {"runs": RunRow, "figures": FigureRow, "verdicts": VerdictRow, "labels": LabelRow}
    tables = {name: row.__table__ for name, row in whole.items()}
    return {"trials": trials, **{name: select(table).order_by(table.c.trial_id) for name, table in tables.items()}}


def _write(connection: Connection, query: Select[Any], path: Path, name: str) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(_fields(query, name))
    part = path.with_name(f".{path.name}.part")
    rows = 0
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for batch in _batches(connection, query, name):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                rows += len(batch)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _batches(connection: Connection, query: Select[Any], name: str) -> Iterator[list[dict[str, Any]]]:
    size = AT_ONCE // 100 if name == "samples" else AT_ONCE
    for found in connection.execution_options(yield_per=size).execute(query).mappings().partitions(size):
        yield [_row(dict(row), name) for row in found]


def _row(row: dict[str, Any], name: str) -> dict[str, Any]:
    if name != "samples":
        return row
    packed = Packed(row.pop("dtype"), row.pop("count"), row.pop("data"))
    return {**row, "ns": unpack(packed)}


def _fields(query: Select[Any], name: str) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa

    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    for column in query.selected_columns:
        if name == "samples" and column.name in ("dtype", "count", "data"):
            continue
        yield str(column.name), kinds[column.type.python_type]
    if name == "samples":
        yield "ns", pa.list_(pa.uint64())
