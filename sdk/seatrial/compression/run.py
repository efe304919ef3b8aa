"""From a model source and a recipe to a compressed model: step after step, each measured, each kept until the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ModelError, SeatrialError, UserError

from ..exporters.digest import weights_digest
from ..exporters.golden import toolchain
from .capture import capture_for_export
from .checkpoint import Checkpoint, Progress
from .claims import remarks
from .figures import Reference, measure
from .latency import Bench, measured_latency
from .pt2_file import write_program
from .recipe import Recipe
from .record import Record, StepReport
from .state import CompressionState, OnEvent, _ignore
from .step import Step
from .table import step_for
from .usage import Usage
from .weights_file import save_weights

if TYPE_CHECKING:
    import torch

    from seatrial_targets.profile import TargetProfile

    from ..source import ModelSource


@dataclass(frozen=True)
class Compressed:
    """What a compression gives. ``source`` is the compressed model as a model source, with the original's data and the
    original as its reference; ``program`` is what the `.pt2` at ``path`` holds (None: it was not written)."""

    source: ModelSource
    program: torch.export.ExportedProgram
    record: Record
    path: Path | None = None


def run_recipe(
    source: ModelSource,
    recipe: Recipe,
    out: Path | None = None,
    *,
    targets: Sequence[TargetProfile] = (),
    bench: Bench | None = None,
    resume: bool = False,
    on_event: OnEvent = _ignore,
) -> Compressed:
    """Run the steps of ``recipe`` on a copy of ``source`` and write the result to ``out`` (a `.pt2`).

    Beside ``out`` come its record (`NAME.record.json`) and, where the recipe keeps it, the original's weights. While it
    runs, `NAME.work` holds what ``resume`` needs to go on with the step that was interrupted. Raises ModelError,
    UserError, ExportError.
    """
    compression = _Compression(source, recipe, out, targets, bench, on_event)
    compression.prepare(resume)
    for index in range(len(compression.reports), len(recipe.steps)):
        compression.run_step(index)
    return compression.finish()


class _Compression:
    """One run of a recipe."""

    def __init__(
        self,
        source: ModelSource,
        recipe: Recipe,
        out: Path | None,
        targets: Sequence[TargetProfile],
        bench: Bench | None,
        on_event: OnEvent,
    ) -> None:
        self.recipe, self.out, self.bench = recipe, out, bench
        fields: dict[str, Any] = {"targets": tuple(targets), "seed": recipe.seed, "on_event": on_event, "bench": bench}
        self.state = CompressionState.of(source, **fields)
        self.steps = [step_for(settings) for settings in recipe.steps]
        self.checkpoint = Checkpoint(out.with_suffix(".work") if out else None)
        self.original_digest = weights_digest(source.module)
        self.reports: list[StepReport] = []

    def prepare(self, resume: bool) -> None:
        """Check everything that can be checked, then measure the original or take up where it was left."""
        check_recipe(self.steps, self.state)
        self.state.tell("run the original")
        self.reference = Reference(self.state)
        progress = self.checkpoint.load() if resume else None
        if progress is None:
            self.checkpoint.begin()
            self.original = measure(self.state, self.reference, self._latency("original"))
            self._keep()
            return
        self._fits(progress)
        self.checkpoint.restore(progress, self.state)
        self.original, self.reports = progress.original, list(progress.reports)

    def run_step(self, index: int) -> None:
        """Run one step, measure what it made, keep it."""
        step, settings = self.steps[index], self.recipe.steps[index]
        before = self.reports[-1].after if self.reports else self.original
        self.state.folder = self.checkpoint.steps_folder(index)
        self.state.tell(f"{index + 1}/{len(self.steps)} {settings.kind}")
        seed_everything(self.recipe.seed + index)
        with Usage() as usage:
            outcome = _applied(step, self.state, f"steps[{index}] {settings.kind}")
        after = measure(self.state, self.reference, self._latency(f"step {index + 1}"))
        self.reports.append(
            StepReport(
                index=index,
                kind=settings.kind,
                settings=settings.model_dump(mode="json", by_alias=True),
                before=before,
                after=after,
                seconds=round(usage.seconds, 3),
                peak_memory_bytes=usage.peak_memory_bytes,
                notes=outcome.notes,
                details=outcome.details,
            )
        )
        self._keep()

    def finish(self) -> Compressed:
        """Capture the model as it is now, write it and its record, and remove the work folder."""
        self.state.tell("capture the compressed model")
        made = self.state.as_source(recipe_digest=self.recipe.digest)
        program = capture_for_export(made)
        record = self._record()
        if self.out is not None:
            self._write(program, record)
        self.checkpoint.remove()
        return Compressed(made, program, record, self.out)

    def _write(self, program: torch.export.ExportedProgram, record: Record) -> None:
        from seatrial_targets.atomic import write_atomic

        assert self.out is not None
        note: dict[str, Any] = {"recipe_digest": record.recipe_digest, "weights_licence": record.weights_licence}
        note["learned_scales"] = self.state.learned_scales
        if record.original_weights:
            save_weights(self.state.source.module, self.out.with_name(record.original_weights))
        write_program(program, self.out, note)
        write_atomic(record_path(self.out), record.json_text())
        for name, text in drawings(record).items():
            write_atomic(self.out.with_name(f"{self.out.stem}.{name}"), text)

    def _record(self) -> Record:
        source, recipe = self.state.source, self.recipe
        keeps = self.out is not None and recipe.keep_original and source.program is None
        return Record(
            name=source.name,
            recipe_name=recipe.name,
            recipe=tuple(recipe.written()),
            recipe_digest=recipe.digest,
            seed=recipe.seed,
            targets=recipe.targets,
            form=self.state.form,
            original_digest=self.original_digest,
            original=self.original,
            steps=tuple(self.reports),
            edits=tuple(self.state.edits),
            original_weights=f"{self.out.stem}.original.safetensors" if keeps and self.out else "",
            weights_licence=source.weights_licence,
            remarks=remarks(source.module, self.state.targets),
            toolchain=toolchain("torchao", "torch-pruning"),
        )

    def _keep(self) -> None:
        progress = Progress(
            recipe_digest=self.recipe.digest,
            original_digest=self.original_digest,
            original=self.original,
            reports=tuple(self.reports),
        )
        self.checkpoint.save(progress, self.state)

    def _fits(self, progress: Progress) -> None:
        for kept, now, what in (
            (progress.recipe_digest, self.recipe.digest, "the recipe"),
            (progress.original_digest, self.original_digest, "the model"),
        ):
            if kept != now:
                raise UserError(
                    f"{self.checkpoint.folder}: {what} is another one than when this compression was interrupted; "
                    "start it again without --resume"
                )

    def _latency(self, when: str) -> tuple[Any, ...]:
        return measured_latency(self.state, self.bench, when) if self.bench else ()


def check_recipe(steps: Sequence[Step[Any]], state: CompressionState) -> None:
    """Raise UserError for steps in an order that can't be, without the data that they need, refused by a target's
    runtime, or with settings that do not fit the model."""
    form, cause = state.form, "the model source"
    for index, step in enumerate(steps):
        settings, where = step.settings, f"steps[{index}] {step.settings.kind}"
        if form not in settings.takes:
            wanted = " or ".join(settings.takes)
            raise UserError(f"{where}: works on a {wanted} model, and {cause} gives a {form} one{_order(form)}")
        for need in settings.needs:
            own_loop = need == "train" and state.source.fit is not None
            if getattr(state.source, need) is None and not own_loop:
                raise ModelError(f"{where}: needs `{need}` of the model source, which has none; add it to the factory")
        for target in state.targets:
            if reason := step.refused_by(target):
                raise UserError(f"{where}: target {target.name!r} can't carry it: {reason}")
        _located(step.check, state, where)
        form, cause = settings.gives, where


def _order(form: str) -> str:
    if form == "quantized":
        return "; a model is quantized once, and what needs float weights comes before that"
    if form == "captured":
        return "; a captured graph (a .pt2) has no modules any more: give the factory, or put the step first"
    return "; put the step that quantizes before it"


def _located(check: Any, state: CompressionState, where: str) -> None:
    try:
        check(state)
    except UserError as error:
        error.args = (f"{where}: {error}",)
        raise


def _applied(step: Step[Any], state: CompressionState, where: str) -> Any:
    try:
        return step.apply(state)
    except SeatrialError as error:
        error.args = (f"{where}: {error}", *error.args[1:])
        raise
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "not enough memory" in str(error) or "out of memory" in str(error):
            raise ModelError(
                f"{where}: out of memory; use smaller batches or fewer samples, then go on with --resume"
            ) from error
        raise


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and random, so that a step does the same in a resumed run."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def drawings(record: Record) -> dict[str, str]:
    """Return the drawings that the steps' details ask for: name of the file behind the model's to content."""
    from .mixed_precision.plot import curve_svg

    curves = [step for step in record.steps if step.kind == "mixed_precision"]
    return {"tradeoff.svg": curve_svg(curves[-1].details)} if curves else {}


def record_path(out: Path) -> Path:
    """Return where the record of the `.pt2` ``out`` is."""
    return out.with_suffix(".record.json")
