"""The base of every step's settings: frozen data, as a recipe file has it. What a step does is in another class."""

from __future__ import annotations

from typing import ClassVar, Literal

from seatrial_targets.spec import Spec

Form = Literal["float", "captured", "quantized"]
"""What a model is made of between two steps: float modules, a captured graph, or one with quantizers in it."""


class StepSettings(Spec):
    """Settings of one step. ``kind`` is its name in a recipe.

    ``takes`` are the forms that the step works on and ``gives`` the form that it leaves, so that a recipe in the wrong
    order is refused before anything runs. ``needs`` names what the model source must have: "calibration", "train".
    """

    kind: ClassVar[str]
    takes: ClassVar[tuple[Form, ...]] = ("float",)
    gives: ClassVar[Form] = "float"

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of the model source without which the step can't work, with these settings."""
        return ()
