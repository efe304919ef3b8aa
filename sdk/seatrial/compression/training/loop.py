"""The training loop: plain torch, the user's batches, seeded, resumable to the bit, stopped by Ctrl-C between steps."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seatrial_targets.errors import ModelError, UserError, did_you_mean

from ...source import Predict, evaluating, forward_names
from .advice import advise_learning_rate
from .batches import Batch, Batches, Data
from .checkpoint import load_checkpoint, save_checkpoint
from .interruption import Interruption, deferred
from .objective import Objective, SupervisedObjective
from .optimizer import device_of, make_optimizer, training_mode
from .randomness import epoch_seed, kept_random_state, random_state, restore_random_state, seed_all
from .settings import Training
from .state import Position, State
from .step import backward, finish_step

AfterStep = Callable[[nn.Module, Position], None]
Evaluate = Callable[[Predict], Mapping[str, float]]
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainingReport:
    """What a training run did. ``history``: a mapping for each epoch (`Epoch`). ``seconds``: of this process alone."""

    epochs: int
    steps: int
    learning_rate: float
    history: tuple[Mapping[str, Any], ...]
    stopped_early: bool
    kept_epoch: int | None
    resumed_at_step: int | None
    seed: int
    device: str
    seconds: float
    parameters: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)


@dataclass
class Fit:
    """A training run of ``module``, trained in place. Make one and call it; see `fit`."""

    module: nn.Module
    data: Data
    settings: Training
    objective: Objective
    evaluate: Evaluate | None = None
    after_step: Sequence[AfterStep] = ()
    checkpoint: Path | None = None
    resume: bool = False
    on_progress: OnProgress | None = None
    input_names: Sequence[str] = ()
    _best: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> TrainingReport:
        """Train; return the report. Modes, device and random generators are left as they were."""
        began = time.monotonic()
        home = next(self.module.parameters()).device
        device = device_of(self.settings.device)
        self.module.to(device)
        self.objective.to(device)
        try:
            with kept_random_state(), training_mode(self.module, self.settings.freeze_batch_norm):
                resumed = self._run(device)
        finally:
            self.module.to(home)
        return self._report(resumed, device, time.monotonic() - began)

    def _run(self, device: torch.device) -> int | None:
        self._device = device
        self._batches = Batches(self.data, tuple(self.input_names) or forward_names(self.module))
        saved = self._saved()
        seed_all(self.settings.seed)
        self.state = State(self._learning_rate(saved), epoch_batches=len(self._batches))
        self._optimizer = make_optimizer(self.module, self.objective, self.settings)
        if saved is not None:
            self._restore(saved)
        resumed = self.state.step if saved is not None else None
        with deferred() as interruption:
            while self.state.batches or not self._finished():
                self._epoch(interruption, saved)
                saved = None
        if self.settings.keep == "best" and self._best:
            self.module.load_state_dict(self._best)
        return resumed

    def _epoch(self, interruption: Interruption, saved: Mapping[str, Any] | None) -> None:
        state, settings = self.state, self.settings
        seed = epoch_seed(settings.seed, state.epoch)
        seed_all(seed)
        # A run that is resumed within its epoch draws the first batches again, to get where it was, and drops them.
        back = functools.partial(restore_random_state, saved["random"]) if saved and state.batches else None
        waiting = 0
        for batch in self._batches.epoch(state.epoch, seed, state.batches, back):
            if self._out_of_steps():
                break
            self._batch(batch.to(self._device))
            waiting += 1
            if waiting == settings.accumulate:
                self._step(interruption)
                waiting = 0
        if waiting:
            self._step(interruption)
        self._close_epoch()

    def _batch(self, batch: Batch) -> None:
        loss, parts = backward(self.module, self.objective, batch, self.settings.accumulate, self.state.step)
        self.state.add(loss, parts)

    def _step(self, interruption: Interruption) -> None:
        state, settings = self.state, self.settings
        finish_step(self._optimizer, state.rate(settings), settings.clip_norm)
        state.step += 1
        position = Position(state.step, state.epoch, state.fraction(settings))
        for act in self.after_step:
            act(self.module, position)
        self._tell()
        due = settings.checkpoint_every and state.step % settings.checkpoint_every == 0
        if due or interruption.wanted:
            self._save()
        interruption.deliver()

    def _close_epoch(self) -> None:
        metrics = self._measured()
        epoch = self.state.close_epoch(metrics, self.settings)
        watched = self.settings.watched.metric
        values = {**epoch.parts, **metrics, "loss": epoch.loss}
        if watched not in values:
            raise UserError(
                f"early stopping watches {watched!r}, which nothing measures{did_you_mean(watched, values)}"
            )
        if self.state.improves(values[watched], self.settings) and self.settings.keep == "best":
            self._best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self._save()

    def _measured(self) -> Mapping[str, float]:
        if self.evaluate is None or self.settings.watched.metric == "loss":
            return {}
        with torch.no_grad(), kept_random_state(), evaluating(self.module):
            return dict(self.evaluate(self._predict))

    def _predict(self, *args: Any, **kwargs: Any) -> Any:
        out = Batch(args, kwargs, None).to(self._device).call(self.module)
        return torch.utils._pytree.tree_map(lambda each: each.cpu() if isinstance(each, torch.Tensor) else each, out)

    def _finished(self) -> bool:
        return self._stopped_early() or self._out_of_steps() or self.state.epoch >= self.settings.most_epochs

    def _stopped_early(self) -> bool:
        stopping = self.settings.early_stopping
        return stopping is not None and self.state.worse >= stopping.patience

    def _out_of_steps(self) -> bool:
        return self.settings.steps is not None and self.state.step >= self.settings.steps

    def _tell(self) -> None:
        if self.on_progress is None:
            return
        per_epoch = math.ceil(self.state.epoch_batches / self.settings.accumulate)
        total = per_epoch * (self.settings.epochs or 0) or self.settings.steps or 0
        stage = f"train (epoch {self.state.epoch + 1}, loss {self.state.loss_sum / max(self.state.batches, 1):.4g})"
        self.on_progress(stage, self.state.step, min(total, self.settings.steps or total))

    def _learning_rate(self, saved: Mapping[str, Any] | None) -> float:
        if saved is not None:
            return float(saved["state"]["learning_rate"])
        if self.settings.learning_rate != "advised":
            return float(self.settings.learning_rate)
        batches = (batch.to(self._device) for batch in self._batches.epoch(0, epoch_seed(self.settings.seed, 0)))
        return advise_learning_rate(self.module, batches, self.objective, self.settings)

    def _saved(self) -> dict[str, Any] | None:
        if not self.resume or self.checkpoint is None or not self.checkpoint.exists():
            return None
        saved: dict[str, Any] = load_checkpoint(self.checkpoint)
        if saved["identity"] != self._identity():
            raise UserError(
                f"{self.checkpoint}: belongs to another training run (model, settings or objective differ); delete it "
                "to train from the start, or give back the settings that it was made with"
            )
        return saved

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tree = {
            "identity": self._identity(),
            "state": asdict(self.state),
            "random": random_state(),
            "module": dict(self.module.state_dict()),
            "objective": dict(self.objective.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "best": self._best,
        }
        save_checkpoint(self.checkpoint, tree)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.state = State(**saved["state"])
        self.module.load_state_dict(saved["module"])
        self.objective.load_state_dict(saved["objective"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._best = dict(saved["best"])

    def _identity(self) -> str:
        """What must be equal for a checkpoint to be of this run: settings, and names and shapes of all weights."""
        shapes = [[name, list(value.shape)] for name, value in self.module.named_parameters()]
        shapes += [[name, list(value.shape)] for name, value in self.objective.named_parameters()]
        text = json.dumps([self.settings.model_dump(mode="json"), shapes, self.objective.identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _report(self, resumed: int | None, device: torch.device, seconds: float) -> TrainingReport:
        state = self.state
        return TrainingReport(
            epochs=state.epoch,
            steps=state.step,
            learning_rate=state.learning_rate,
            history=tuple(state.history),
            stopped_early=self._stopped_early(),
            kept_epoch=state.best_epoch if self.settings.keep == "best" else None,
            resumed_at_step=resumed,
            seed=self.settings.seed,
            device=str(device),
            seconds=round(seconds, 3),
            parameters=sum(each.numel() for each in self.module.parameters() if each.requires_grad),
        )


def fit(module: nn.Module, data: Data, settings: Training | None = None, **extra: Any) -> TrainingReport:
    """Train ``module`` in place on ``data`` and return what happened.

    ``data``: an iterable of batches (a DataLoader, a list) or a function that returns one for each epoch; see
    `as_batch` for their forms. ``extra``: fields of `Fit`: ``objective`` (default: cross-entropy), ``evaluate`` (the
    metric that early stopping watches), ``after_step`` (functions of the module and a `Position`), ``checkpoint`` and
    ``resume``, ``on_progress(stage, done, total)``.

    A resumed run ends with the same bits as one that was never stopped, on the same CPU and number of threads, when the
    order of the data depends on nothing but torch's, numpy's and Python's global generators or the DataLoader's own.
    Some of a GPU's kernels are not deterministic; there it is equal only as far as they are.

    Raises ModelError (data, loss, NaN, out of memory), UserError (a foreign checkpoint), KeyboardInterrupt after the
    running step was finished and a checkpoint written.
    """
    objective = extra.pop("objective", None) or SupervisedObjective()
    if not any(each.requires_grad for each in module.parameters()):
        raise ModelError("no parameter of the model requires a gradient, so there is nothing to train")
    return Fit(module, data, settings or Training(), objective, **extra)()
