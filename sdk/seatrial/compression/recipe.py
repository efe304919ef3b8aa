"""A recipe: the steps of a compression, in order, from YAML or from Python.

name: half-and-int8
targets: [x86-64-cpu-int8]
steps:
  - prune: {amount: 50 %}
  - finetune: {epochs: 3}
  - quantize: {observer: percentile}
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidationError, create_model, model_validator

from seatrial_targets.errors import UserError
from seatrial_targets.located import load, loads
from seatrial_targets.profile import Name
from seatrial_targets.spec import Spec

from .recipes import recipe_path
from .settings import StepSettings
from .table import STEPS, settings_class

MOST_STEPS = 100
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Header(Spec):
    """What a recipe has beside its steps.

    ``targets`` names those that the model is compressed for: their runtimes must carry every step, and channel counts
    are rounded to what their kernels like. ``keep_original`` keeps the original weights beside the record, so that the
    compression can be undone.
    """

    name: Name = "recipe"
    seed: Seed = 0
    targets: tuple[Name, ...] = ()
    keep_original: bool = True

    @model_validator(mode="after")
    def _some(self) -> _Header:
        count = len(getattr(self, "steps", ()))
        if not 1 <= count <= MOST_STEPS:
            raise ValueError(f"steps: holds {count} steps; a recipe has 1 to {MOST_STEPS}")
        return self


class Recipe(_Header):
    """Steps and what they share. `Recipe.load` reads a file; in Python, give settings: ``Recipe(steps=(Prune(),))``."""

    steps: tuple[SerializeAsAny[StepSettings], ...]

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Return the recipe in a YAML file, or the ready one of that name. Raises ConfigError with every problem, each
        with its place."""
        return cls._of(load(recipe_path(path), file_model()))

    @classmethod
    def loads(cls, text: str, source_name: str = "recipe") -> Recipe:
        """Return the recipe in ``text``; ``source_name`` stands before each problem. Raises ConfigError."""
        return cls._of(loads(text, source_name, file_model()))

    @classmethod
    def _of(cls, read: Any) -> Recipe:
        header = {name: getattr(read, name) for name in _Header.model_fields}
        return cls(**header, steps=tuple(entry.settings() for entry in read.steps))

    def for_targets(self, names: Sequence[str]) -> Recipe:
        """Return this recipe for other targets."""
        return self.model_copy(update={"targets": tuple(names)})

    def written(self) -> list[dict[str, Any]]:
        """Return the steps as a file has them: a list of ``{kind: settings}``, with all defaults."""
        return [{step.kind: step.model_dump(mode="json", by_alias=True)} for step in self.steps]

    @property
    def digest(self) -> str:
        """Sha256 (hex) over all that makes a difference to the model: seed, targets, and the steps with defaults."""
        told = {"seed": self.seed, "targets": list(self.targets), "steps": self.written()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def as_recipe(given: Recipe | Path | str | StepSettings | Sequence[StepSettings]) -> Recipe:
    """Return a recipe from what users give: one, the path of a file, a step's settings, or a sequence of those."""
    if isinstance(given, Recipe):
        return given
    if isinstance(given, str | Path):
        return Recipe.load(Path(given))
    steps = (given,) if isinstance(given, StepSettings) else tuple(given)
    try:
        return Recipe(steps=steps)
    except ValidationError as error:
        raise UserError(f"this is no recipe: {error.errors()[0]['msg']}; give settings of steps") from error


class _Entry(Spec):
    """One step in a file: a mapping with the kind as its only key."""

    @model_validator(mode="after")
    def _one(self) -> _Entry:
        if len(self.model_fields_set) != 1:
            named = ", ".join(sorted(self.model_fields_set)) or "none"
            raise ValueError(f"each entry of the list holds one step; here are {len(self.model_fields_set)}: {named}")
        self.settings()
        return self

    def settings(self) -> StepSettings:
        """Return the settings; `- kind:` without any stands for the defaults."""
        (kind,) = self.model_fields_set
        found: StepSettings | None = getattr(self, kind)
        return found if found is not None else _defaults(kind)


def _defaults(kind: str) -> StepSettings:
    try:
        return settings_class(kind)()
    except ValidationError as error:
        lacking = ", ".join(str(each["loc"][0]) for each in error.errors() if each["loc"])
        raise ValueError(f"{kind} can't do without settings{lacking and ': ' + lacking}") from error


@functools.cache
def file_model() -> type[Spec]:
    """Return the model of a recipe file: made of the settings of all steps in the table, so that errors know them."""
    kinds: dict[str, Any] = {kind: (settings_class(kind) | None, None) for kind in STEPS}
    entry = create_model("Step", __base__=_Entry, **kinds)
    made: type[Spec] = create_model("RecipeFile", __base__=_Header, steps=(tuple[entry, ...], ...))  # type: ignore[valid-type]
    return made
