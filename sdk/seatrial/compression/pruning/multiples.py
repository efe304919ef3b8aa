"""Channel counts that kernels like: below them the rest of a block is computed and thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


def multiple_for(targets: Sequence[TargetProfile]) -> int:
    """Return the multiple that all ``targets`` like; 8 without any."""
    return lcm(*(target.channel_multiple for target in targets)) if targets else 8
