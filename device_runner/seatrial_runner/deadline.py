"""One budget of time that is passed down, so that nested waits can't add up to more than the user allowed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from seatrial_targets.errors import DeadlineError


@dataclass(frozen=True)
class Deadline:
    """A point in monotonic time, made from seconds from now.

    >>> Deadline.after(10).left() <= 10
    True
    """

    at: float
    allowed: float = field(compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Return the seconds that are left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and ``seconds`` from now."""
        other = Deadline.after(seconds)
        return self if self.at <= other.at else other

    def check(self, doing: str) -> float:
        """Return the seconds left; raise DeadlineError, naming ``doing``, when there are none."""
        left = self.left()
        if left <= 0:
            raise DeadlineError(f"{doing}: not done within {self.allowed:g} s")
        return left
