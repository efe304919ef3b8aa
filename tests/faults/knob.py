"""A setting of the device that stands in for a governor: a file, whose path is in the environment of the host."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from seatrial_runner.condition.units import Change, Unit

SLOW, FAST = "slow", "fast"


class Knob(Unit):
    """Set to "fast" for a session."""

    name = "knob"
    READ = ""

    def __init__(self) -> None:
        self.path = os.environ["SEATRIAL_TEST_KNOB"]
        self.READ = f"read -r line < {shlex.quote(self.path)} && printf 'value\\t%s\\n' \"$line\""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change of the file."""
        value = found.get("value", FAST)
        return [Change.of_file(self.path, value, FAST)] if value != FAST else []
