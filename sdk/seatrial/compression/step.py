"""What a step is: it checks itself against the model before anything runs, and then changes the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from .settings import StepSettings
    from .state import CompressionState

S = TypeVar("S", bound="StepSettings")


@dataclass(frozen=True)
class Outcome:
    """What a step says of its work: notes for people, and details that JSON can hold."""

    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


class Step(Generic[S]):
    """Carries one step out. Subclasses write `apply`, and `check` and `refused_by` where there is something to say."""

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def check(self, state: CompressionState) -> None:
        """Raise UserError for what is wrong with these settings for this model. Called for all steps before the first
        runs, so that a slip in the last step does not cost the hours of those before it."""

    def refused_by(self, target: TargetProfile) -> str:
        """Return why the target's runtime can't carry the step and which can, or an empty string."""
        return ""

    def apply(self, state: CompressionState) -> Outcome:
        """Change ``state.module`` (and ``state.form``) and say what was done. Raises ModelError or UserError."""
        raise NotImplementedError
