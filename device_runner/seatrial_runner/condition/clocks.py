"""CPU clocks: the governor of each cluster (linux/Documentation/admin-guide/pm/cpufreq.rst)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .units import Change, Unit

WANTED = "performance"
POLICY = "/sys/devices/system/cpu/cpufreq"


class Governor(Unit):
    """The governor `performance` on every cluster, so that no clock follows the load while we measure."""

    name = "governor"
    READ = r"""
for d in /sys/devices/system/cpu/cpufreq/policy*; do
  line=; { read -r line < "$d/scaling_governor"; } 2>/dev/null && printf '%s\t%s\n' "${d##*/}" "$line"
  line=; { read -r line < "$d/scaling_available_governors"; } 2>/dev/null && printf 'can %s\t%s\n' "${d##*/}" "$line"
done
"""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return a change for each cluster whose governor is another."""
        return [
            Change.of_file(f"{POLICY}/{policy}/scaling_governor", governor, WANTED)
            for policy, governor in _governors(found).items()
            if governor != WANTED and WANTED in found.get(f"can {policy}", WANTED).split()
        ]

    def cannot(self, found: Mapping[str, str]) -> str:
        """Return which cluster has no governor `performance`."""
        lacking = [p for p, g in _governors(found).items() if WANTED not in (g, *found.get(f"can {p}", WANTED).split())]
        return f"{', '.join(lacking)} has no governor {WANTED}" if lacking else ""

    def told(self, found: Mapping[str, str]) -> str:
        """Return "governor schedutil"."""
        return "governor " + ", ".join(dict.fromkeys(_governors(found).values()))


def _governors(found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in found.items() if re.fullmatch(r"policy\d{1,4}", key)}
