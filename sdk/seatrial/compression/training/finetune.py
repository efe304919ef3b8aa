"""The step `finetune`: train the model as it is now, on the user's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...source import forward_names
from ..step import Outcome, Step
from .settings import Finetune, Training

if TYPE_CHECKING:
    from ..state import CompressionState
    from .loop import TrainingReport
    from .objective import Objective

CHECKPOINT = "training.safetensors"


class FinetuneStep(Step[Finetune]):
    """Minimises the source's own loss."""

    def apply(self, state: CompressionState) -> Outcome:
        """Train ``state.module`` in place. Raises ModelError; on Ctrl-C a checkpoint is left in ``state.folder``."""
        from .objective import SupervisedObjective

        return described(train(state, self.settings, SupervisedObjective(state.source.loss)))


def train(state: CompressionState, settings: Training, objective: Objective, **extra: Any) -> TrainingReport:
    """Train ``state.module`` in place on the source's data, going on from a checkpoint in ``state.folder``.

    What all steps share that train. ``extra``: further fields of `Fit` (``module``, ``after_step``). Where the source
    has a loop of its own (`fit`) and only its own loss is to be minimised, that loop trains.
    """
    from .loop import Fit
    from .objective import SupervisedObjective
    from .own_loop import train_by_hand

    if "seed" not in settings.model_fields_set:
        settings = settings.model_copy(update={"seed": state.seed})
    if state.source.fit is not None and type(objective) is SupervisedObjective:
        return train_by_hand(state, extra.get("module", state.module), settings.seed)
    fields: dict[str, Any] = {
        "module": state.module,
        "data": state.source.train,
        "settings": settings,
        "objective": objective,
        "evaluate": state.source.evaluate,
        "checkpoint": state.folder / CHECKPOINT if state.folder else None,
        "resume": True,
        "on_progress": state.tell,
        "after_step": _holding(state),
        "input_names": forward_names(state.source.module),
    }
    return Fit(**{**fields, **extra, "after_step": (*fields["after_step"], *extra.get("after_step", ()))})()


def _holding(state: CompressionState) -> tuple[Any, ...]:
    """What keeps pruned weights at 0, when there are any."""
    from ..pruning.masks import Masks

    return (Masks(state.module, state.sparse).hold,) if state.sparse else ()


def described(report: TrainingReport, *notes: str) -> Outcome:
    """Return the outcome of a step that trained."""
    if not report.history:
        return Outcome((f"trained by your own loop, {report.seconds:.1f} s", *notes), report.as_json())
    first, last = report.history[0]["loss"], report.history[-1]["loss"]
    told = f"{report.steps} steps in {report.epochs} epochs, loss {first:.4g} -> {last:.4g}"
    told += f", learning rate {report.learning_rate:.3g}"
    early = ("stopped early: no better for as long as was asked",) if report.stopped_early else ()
    kept = (f"kept the weights of epoch {report.kept_epoch + 1}",) if report.kept_epoch is not None else ()
    return Outcome((told, *early, *kept, *notes), report.as_json())
