"""CPU clocks: governor, frequency and boost (linux/Documentation/admin-guide/pm/cpufreq.rst, intel_pstate.rst)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from .units import Change, Unit

PERFORMANCE = "performance"
FOLDER = "/sys/devices/system/cpu/cpufreq"
EACH_POLICY = r"""
for d in /sys/devices/system/cpu/cpufreq/policy*; do
  for name in %s; do
    line=; { read -r line < "$d/$name"; } 2>/dev/null && printf '%%s %%s\t%%s\n' "${d##*/}" "$name" "$line"
  done
done
"""


class Governor(Unit):
    """The governor `performance` on every cluster, so that no clock follows the load while we measure."""

    name = "governor"
    READ = EACH_POLICY % "scaling_governor scaling_available_governors"

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return a change for each cluster whose governor is another."""
        return [
            Change.of_file(f"{FOLDER}/{policy}/scaling_governor", files["scaling_governor"], PERFORMANCE)
            for policy, files in policies(found).items()
            if files.get("scaling_governor", PERFORMANCE) != PERFORMANCE and _offers(files)
        ]

    def cannot(self, found: Mapping[str, str]) -> str:
        """Return which cluster has no governor `performance`."""
        lacking = [policy for policy, files in policies(found).items() if not _offers(files)]
        return f"{', '.join(lacking)} has no governor {PERFORMANCE}" if lacking else ""

    def told(self, found: Mapping[str, str]) -> str:
        """Return "governor schedutil"."""
        governors = (files.get("scaling_governor", "") for files in policies(found).values())
        return "governor " + ", ".join(dict.fromkeys(filter(None, governors)))


class Frequency(Unit):
    """The least frequency of every cluster raised to its highest allowed one, so that the clock has one value.

    What is allowed (`scaling_max_freq`) stays as it is: who wants a lower clock that no heat will take away sets it so.
    """

    name = "frequency"
    READ = EACH_POLICY % "scaling_min_freq scaling_max_freq"

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return a change for each cluster whose least frequency is below its highest."""
        return [
            Change.of_file(f"{FOLDER}/{policy}/scaling_min_freq", *bounds)
            for policy, files in policies(found).items()
            if (bounds := _bounds(files)) and bounds[0] != bounds[1]
        ]

    def told(self, found: Mapping[str, str]) -> str:
        """Return "frequency 0.60 to 2.40 GHz"."""
        ranges = [
            " to ".join(f"{int(khz) / 1e6:.2f}" for khz in b) for f in policies(found).values() if (b := _bounds(f))
        ]
        return f"frequency {', '.join(dict.fromkeys(ranges))} GHz"


class Boost(Unit):
    """Boost clocks off: they last as long as the heat allows, so that they make the first run the fastest."""

    name = "boost"
    FILES: ClassVar[Mapping[str, str]] = {
        "/sys/devices/system/cpu/intel_pstate/no_turbo": "1",
        "/sys/devices/system/cpu/cpufreq/boost": "0",
    }
    READ = "".join(f"{{ read -r line < {file} && printf '{file}\\t%s\\n' \"$line\"; }} 2>/dev/null\n" for file in FILES)

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change of whichever file the machine has; of both, the first is the other's name for it."""
        for file, wanted in self.FILES.items():
            if file in found:
                return [Change.of_file(file, found[file], wanted)] if found[file] != wanted else []
        return []

    def told(self, found: Mapping[str, str]) -> str:
        """Return "boost on"."""
        return f"boost {'on' if self.changes(found) else 'off'}"


def policies(found: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what each cpufreq policy told, file by file; names that are none are left out, since they become paths."""
    sorted_out: dict[str, dict[str, str]] = {}
    for key, value in found.items():
        policy, _, file = key.partition(" ")
        if re.fullmatch(r"policy\d{1,4}", policy):
            sorted_out.setdefault(policy, {})[file] = value
    return sorted_out


def _offers(files: Mapping[str, str]) -> bool:
    return PERFORMANCE in files.get("scaling_available_governors", PERFORMANCE).split()


def _bounds(files: Mapping[str, str]) -> tuple[str, str] | None:
    low, high = files.get("scaling_min_freq", ""), files.get("scaling_max_freq", "")
    return (low, high) if re.fullmatch(r"\d{1,12}", low) and re.fullmatch(r"\d{1,12}", high) else None
