"""What a doctor says of one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``command`` mends it; it is empty when there is nothing to mend."""

    check: str
    level: Level
    text: str
    command: str = ""


def worst(findings: tuple[Finding, ...]) -> Level:
    """Return the worst level among ``findings``."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")
