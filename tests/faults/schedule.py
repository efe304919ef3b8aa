"""What goes wrong, when, and for how long: drawn from a seed, so that each schedule can be made again."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Faults by the wire that can have them. How each is made is in `worlds`.
EVERYWHERE = (
    "host killed",
    "host interrupted",
    "agent killed",
    "disk full",
    "read-only folder",
    "clock jump",
    "hostile output",
    "two hosts",
)
SSH = ("server killed", "sessions killed", "connection frozen")
NETWORK = ("link down", "slow link", "reboot", "server killed")
ADB = ("adb server killed", "adb disconnected")
WIRES: dict[str, tuple[str, ...]] = {
    "local": EVERYWHERE,
    "ssh": EVERYWHERE + SSH,
    "pi": EVERYWHERE + NETWORK,
    "droid": EVERYWHERE + NETWORK + ADB,
}
LONGEST_S = 4.0  # a trial takes about as long when nothing goes wrong


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong ``at_s`` seconds after the trial began, mended after ``lasts_s``."""

    kind: str
    at_s: float
    lasts_s: float


@dataclass(frozen=True)
class Schedule:
    """One or several faults during one trial."""

    seed: int
    wire: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"{self.wire} #{self.seed}: " + ", ".join(
            f"{f.kind} at {f.at_s:.2f} s for {f.lasts_s:.2f} s" for f in self.faults
        )


def draw(seed: int, wire: str) -> Schedule:
    """Return the schedule of a seed: mostly one fault, sometimes two or three that overlap."""
    dice = random.Random(f"{wire}-{seed}")
    count = dice.choices((1, 2, 3), (6, 3, 1))[0]
    kinds = dice.sample(WIRES[wire], count)
    faults = (Fault(kind, dice.uniform(0, LONGEST_S), _lasts(dice)) for kind in kinds)
    return Schedule(seed, wire, tuple(sorted(faults, key=lambda fault: fault.at_s)))


def _lasts(dice: random.Random) -> float:
    """Mostly shorter than what a connection lives through, sometimes longer."""
    return dice.uniform(0.05, 2.5) if dice.random() < 0.85 else dice.uniform(9, 13)
