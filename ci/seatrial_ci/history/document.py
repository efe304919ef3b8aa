"""A trial taken apart into its document and its samples, and put together again without loss."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from seatrial_ci.history.models import SamplesRow
from seatrial_ci.history.samples import Packed, pack, unpack
from seatrial_runner.records import Run, Trial

CHANNELS = ("wall_ns", "cpu_ns", "gpu_ns", "h2d_ns", "d2h_ns", "enqueue_ns", "at_ns")


def strip(trial: Trial) -> bytes:
    """Return the trial's JSON without samples, zlib'd."""
    runs = tuple(_without_samples(run) for run in trial.runs)
    return zlib.compress(trial.model_copy(update={"runs": runs}).model_dump_json(by_alias=True).encode(), 6)


def same(one: bytes, other: bytes) -> bool:
    """Return whether two documents hold the same; versions of zlib compress the same bytes differently."""
    try:
        return one == other or zlib.decompress(one) == zlib.decompress(other)
    except zlib.error:
        return False


def samples_of(trial: Trial) -> Iterator[SamplesRow]:
    """Yield a row for each channel of each arm of each run that has samples."""
    for run in trial.runs:
        for arm, result in (run.result.arms if run.result else {}).items():
            for channel in CHANNELS:
                values = getattr(result, channel)
                if values:
                    packed = pack(values)
                    yield SamplesRow(
                        trial_id=trial.id,
                        run_index=run.index,
                        arm=arm,
                        channel=channel,
                        dtype=packed.dtype,
                        count=packed.count,
                        data=packed.data,
                    )


def restore(document: bytes, samples: Iterable[SamplesRow]) -> Trial:
    """Return the trial as it was added. Raises ValueError when something in it is damaged."""
    try:
        found: dict[str, Any] = json.loads(zlib.decompress(document))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"damaged document: {error}") from None
    runs = {run["index"]: run for run in found["runs"]}
    for row in samples:
        arms = runs[row.run_index]["result"]["arms"]
        arms[row.arm][row.channel] = unpack(Packed(row.dtype, row.count, row.data))
    return Trial.model_validate(found)


def _without_samples(run: Run) -> Run:
    if run.result is None:
        return run
    arms = {k: arm.model_copy(update=dict.fromkeys(CHANNELS, ())) for k, arm in run.result.arms.items()}
    return run.model_copy(update={"result": run.result.model_copy(update={"arms": arms})})
