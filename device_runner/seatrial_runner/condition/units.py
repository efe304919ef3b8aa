"""What sways measurements and can be set for the time of a session: a governor, a power mode, a screen.

A new unit is one small class and one line in `TABLE`; a profile's ``preparation`` names it. A unit says in shell
how the device tells its present setting, and in Python what has to change; carrying that out, undoing it, and the
journal of changes on the device are not its business but that of `seatrial_runner.condition.prepare`.
"""

from __future__ import annotations

import importlib
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

TABLE = {
    "governor": "seatrial_runner.condition.clocks:Governor",
    "frequency": "seatrial_runner.condition.clocks:Frequency",
    "boost": "seatrial_runner.condition.clocks:Boost",
    "swap": "seatrial_runner.condition.memory:Swap",
    "screen": "seatrial_runner.condition.phone:Screen",
    "power-save": "seatrial_runner.condition.phone:PowerSave",
    "airplane": "seatrial_runner.condition.phone:Airplane",
    "fixed-performance": "seatrial_runner.condition.phone:FixedPerformance",
    "background": "seatrial_runner.condition.phone:Background",
    "power-mode": "seatrial_runner.condition.jetson:PowerMode",
    "clocks": "seatrial_runner.condition.jetson:JetsonClocks",
    "fan": "seatrial_runner.condition.jetson:JetsonFan",
}


@dataclass(frozen=True)
class Change:
    """One change: what it is in words, the shell that makes it, and the shell that takes it back.

    Both are POSIX sh, run apart from each other, perhaps days and a reboot later: ``undo`` holds the old values.
    It must be harmless where nothing was changed, since it is kept on the device before ``make`` runs.
    """

    what: str
    make: str
    undo: str

    @classmethod
    def of_file(cls, path: str, old: str, new: str) -> Change:
        """Return the change of one file that holds a setting, as those in /sys do."""
        place = shlex.quote(path)
        make, undo = (f"printf '%s\\n' {shlex.quote(value)} > {place}" for value in (new, old))
        return cls(f"{path}: {old} -> {new}", make, undo)


class Unit(ABC):
    """One thing about a device that can be read by anybody, and set by who may.

    ``needs`` says whose right it takes to set it: the login user's ("login"), or root's. ``READ`` is POSIX sh that
    prints ``key<TAB>value`` lines, and nothing where the device lacks the thing. A ``blind`` unit can't tell from them
    whether it is set; then the exit codes of its changes have to do.
    """

    name: ClassVar[str]
    takes_value: ClassVar[bool] = False
    needs: ClassVar[Literal["login", "root"]] = "root"
    blind: ClassVar[bool] = False
    READ: ClassVar[str]

    @abstractmethod
    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return what to change, given what ``READ`` printed; nothing when all is as it should be."""

    def told(self, found: Mapping[str, str]) -> str:
        """Return the present setting in a few words, for people: "governor ondemand"."""
        return f"{self.name} " + ", ".join(dict.fromkeys(found.values()))

    def cannot(self, found: Mapping[str, str]) -> str:
        """Return why this device can't be set as wanted, though it could be asked to; usually an empty string."""
        return ""


def get_unit(name: str) -> Unit | None:
    """Return the unit called ``name``; None for one that this version does not know.

    ``NAME=VALUE`` is for units that can be wanted in more than one way.
    """
    name, equals, value = name.partition("=")
    if name not in TABLE:
        return None
    module, _, attribute = TABLE[name].partition(":")
    made = getattr(importlib.import_module(module), attribute)
    if equals and not made.takes_value:
        return None
    return cast(Unit, made(value) if equals else made())
