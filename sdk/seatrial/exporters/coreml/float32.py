"""Keeping in float32 what float16 harms: what ``coreml.keep_float32: auto`` comes to, and what an export says of it."""

from __future__ import annotations

from pathlib import Path

from seatrial_targets.errors import ExportError, UnsupportedOpError
from seatrial_targets.profile import TargetProfile

from ..agreement import Agreement
from ..samples import read_samples
from .departure import compared
from .making import Made, Maker
from .precision import AUTO
from .reference import AppReference
from .rounding import LIMIT, LIMIT_DB, Rounding

MOST_SAMPLES = 8  # of the checks, spread over all of them; parity is then measured on each


def chosen(target: TargetProfile, maker: Maker, reference: AppReference, folder: Path) -> TargetProfile:
    """Return the target with the names of operations in place of ``auto``, found on a conversion to float32."""
    if target.coreml.keep_float32 != (AUTO,):
        return target
    fields = target.keeping_float32(()).model_dump(by_alias=True) | {"precision": "fp32"}
    artifact = maker.make(TargetProfile.model_validate(fields), folder).artifact
    samples = read_samples(maker.source, "checks", artifact.torch_shapes()) or [maker.examples]
    few = samples[:: max(1, len(samples) // MOST_SAMPLES)][:MOST_SAMPLES]
    try:
        return target.keeping_float32(Rounding(artifact, reference, few).spared(maker.on_progress))
    except UnsupportedOpError as error:
        raise ExportError(
            f"keep_float32 auto needs the package to be executed here, and {error}; name what is to stay in float32"
        ) from error


def notes_on_precision(target: TargetProfile, made: Made, agreement: Agreement, maker: Maker) -> tuple[str, ...]:
    """Say what was kept in float32, and, when a float16 package is far from torch, where that begins and what to do."""
    if target.precision != "fp16":
        return ()
    kept, asked = made.converted.kept, target.coreml.keep_float32
    notes = (_kept(kept),) if kept else ()
    if asked == (AUTO,) and not kept:
        notes = (f"keep_float32 auto: nothing has to stay in float32, parity is within {LIMIT:g} without",)
    db = agreement.fields["parity"].get("sqnr_db", LIMIT_DB)
    if db < LIMIT_DB and target.weights is None:
        notes = (*notes, _far(db, made, maker))
    return notes


def _kept(names: tuple[str, ...]) -> str:
    return f"kept in float32, off the Neural Engine: {', '.join(names)}"


def _far(db: float, made: Made, maker: Maker) -> str:
    found = compared(made.artifact, maker.known.program, maker.features, maker.examples, LIMIT_DB, maker.on_progress)
    first = found["departs"]
    where = f"; on the example inputs {first['name']!r} ({first['op']}) is the first that far off" if first else ""
    return (
        f"float16 takes an output {10 ** (-db / 20):.1e} from torch (relative L2), more than {LIMIT:g}{where}; "
        "`--keep-float32 auto` finds which operations to keep in float32, `--keep-float32 NAME` keeps one"
    )
