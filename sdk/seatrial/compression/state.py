"""What the steps of a recipe work on: the module as it is now, beside the original and its data."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UnknownNameError, UserError

from .settings import Form

if TYPE_CHECKING:
    import torch

    from seatrial_runner.plan import Event
    from seatrial_targets.profile import TargetProfile

    from ..source import ModelSource
    from .latency import Bench

Tensors = dict[str, "torch.Tensor"]
OnEvent = Callable[["Event"], None]


def _ignore(event: Event) -> None:
    """Take an event and do nothing with it."""


@dataclass
class CompressionState:
    """The model between two steps.

    ``source`` is what the user gave and is never changed; ``module`` is a copy that the steps change or replace, and
    ``form`` says what it is: "float" (modules), "captured" (a graph) or "quantized" (a graph, see
    quantized_program.py).
    ``folder`` is for a step's own files (checkpoints of training); it outlives an interruption. A step that changes
    the structure adds to ``edits``, so that the structure can be made again without a pickle (edits.py). ``bench``:
    where latency can be measured, if anywhere. ``sparse``: paths of weights whose zeros stay zeros in all training.
    """

    source: ModelSource
    module: torch.nn.Module
    form: Form = "float"
    targets: tuple[TargetProfile, ...] = ()
    seed: int = 0
    folder: Path | None = None
    on_event: OnEvent = _ignore
    bench: Bench | None = None
    edits: list[dict[str, Any]] = field(default_factory=list)
    learned_scales: bool = False
    sparse: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: ModelSource, **fields: Any) -> CompressionState:
        """Begin with a copy of the source's module, in eval mode."""
        from ..exporters.noise import quiet
        from .quantized_program import is_quantized

        with quiet():  # copying a captured graph copies its tree specs, which torch itself calls deprecated
            module = copy.deepcopy(source.module)
        set_training(module, False)
        form: Form = "float"
        if source.program is not None:
            form = "quantized" if is_quantized(source.program) else "captured"
        return cls(source, module, form, **fields)

    def as_source(self, **fields: Any) -> ModelSource:
        """Return the model as it is now, with the source's data, and the original as its reference."""
        reference = self.source.reference or self.source.module
        changed = {"module": self.module, "program": None, "reference": reference, **fields}
        changed["learned_scales"] = self.learned_scales
        return dataclasses.replace(self.source, **changed)

    def tell(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Send a progress event."""
        from seatrial_runner.plan import Event

        self.on_event(Event(stage, done, total))

    def samples(self, which: str) -> list[Tensors]:
        """Return the source's "calibration" or "checks" as tensors by input name, each of the example's batch size.

        Raises ModelError for a wrong shape, dtype or value, with the sample's index; [] when the source has none.
        """
        import torch

        from ..exporters.samples import read_samples

        shapes = {name: tuple(value.shape) for name, value in self.source.inputs.items()}
        found = read_samples(self.source, which, shapes)
        return [{name: torch.from_numpy(array) for name, array in sample.items()} for sample in found]

    def layers(self, *kinds: type) -> dict[str, torch.nn.Module]:
        """Return the layers of the given classes by their path in the module."""
        return {name: each for name, each in self.module.named_modules() if name and isinstance(each, kinds)}


def set_training(module: torch.nn.Module, training: bool) -> None:
    """Put a module into train or eval mode; works for captured graphs, too, whose own `eval()` raises."""
    for child in module.modules():
        child.training = training


def select(patterns: tuple[str, ...], known: list[str], what: str) -> list[str]:
    """Return those of ``known`` that a pattern names: an exact path, or one with `*` (within one name) or `**`.

    Raises UnknownNameError, with the nearest, for a path without `*` that is not known, and UserError for a pattern
    that matches none.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = list(_matching(pattern, known))
        if not matching and "*" not in pattern:
            raise UnknownNameError(what, pattern, known, f"the model has {len(known)}")
        if not matching:
            raise UserError(f"no {what} matches {pattern!r}; the model has {', '.join(known[:8])}, ...")
        found.update(dict.fromkeys(matching))
    return list(found)


def _matching(pattern: str, known: list[str]) -> Iterator[str]:
    import re

    parts = re.split(r"(\*\*|\*)", pattern)
    words = {"**": ".*", "*": r"[^.]*"}
    expression = re.compile("".join(words.get(part, re.escape(part)) for part in parts))
    return (name for name in known if expression.fullmatch(name))
