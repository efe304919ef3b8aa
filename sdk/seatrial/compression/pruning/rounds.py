"""What pruning in rounds leaves, so that an interrupted step goes on with the round that was interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.atomic import write_atomic

from ..edits import replay
from ..weights_file import load_weights, save_weights

if TYPE_CHECKING:
    from ..state import CompressionState
    from .settings import Rounds

FILE, WEIGHTS = "rounds.json", "rounds.safetensors"


@dataclass
class RoundLog:
    """Rounds that are done, what they removed, and the amount that the whole step shall remove; for a goal, the limit
    that it comes to, and the amount with which the last round meets it."""

    folder: Path | None
    done: int = 0
    amount: float | None = None
    edits: list[dict[str, Any]] = field(default_factory=list)
    limit: float | None = None
    last: float | None = None
    prepared: bool = False  # the training before the first round is done

    @classmethod
    def resumed(cls, state: CompressionState) -> RoundLog:
        """Return the log in the state's folder, with ``state.module`` as it was left; a new one where there is none."""
        folder = state.folder
        if folder is None or not (folder / FILE).is_file():
            return cls(folder)
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        state.module = replay(state.module, kept["edits"], state.source.inputs)
        load_weights(state.module, folder / kept["weights"])
        return cls(folder, kept["done"], kept["amount"], kept["edits"], kept["limit"], kept["last"], kept["prepared"])

    def add(self, edit: dict[str, Any]) -> None:
        """Count what a round removed."""
        self.edits.append(edit)

    def keep(self, state: CompressionState) -> None:
        """Close a round."""
        self.done += 1
        self.write(state)

    def prepare(self, state: CompressionState, settings: Rounds, paths: tuple[str, ...]) -> None:
        """Train with the penalty before the first round, unless that was done."""
        if settings.penalty is not None and not self.prepared:
            self.train(state, settings, paths, "before")
            self.prepared = True
            self.write(state)

    def train(self, state: CompressionState, settings: Rounds, paths: tuple[str, ...], name: str = "") -> None:
        """Train between rounds, where that was asked for; ``paths`` are the parameters that a penalty pulls at.

        The checkpoint is in a folder of its own, for its weights have other shapes than those of other rounds.
        """
        if settings.finetune is None:
            return
        from ..training.finetune import train
        from ..training.objective import Objective, SupervisedObjective
        from .penalty import PenalizedObjective

        objective: Objective = SupervisedObjective(state.source.loss)
        if settings.penalty is not None:
            objective = PenalizedObjective(objective, settings.penalty, paths)
        with self._own_folder(state, name or f"round-{self.done:02d}"):
            train(state, settings.finetune, objective)

    def write(self, state: CompressionState) -> None:
        """Keep all of it in the folder; weights first, so that what the log names is always there."""
        if self.folder is None:
            return
        name = f"{self.done:02d}-{WEIGHTS}"
        save_weights(state.module, self.folder / name)
        kept = {"done": self.done, "amount": self.amount, "edits": self.edits, "weights": name}
        kept |= {"limit": self.limit, "last": self.last, "prepared": self.prepared}
        write_atomic(self.folder / FILE, json.dumps(kept))
        for old in self.folder.glob(f"*-{WEIGHTS}"):
            if old.name != name:
                old.unlink()

    @contextmanager
    def _own_folder(self, state: CompressionState, name: str) -> Iterator[None]:
        before = state.folder
        if before is not None:
            state.folder = before / name
            state.folder.mkdir(exist_ok=True)
        try:
            yield
        finally:
            state.folder = before
