"""Swap: a model that was pushed out of memory is not the model that one wants to measure (kernel.org, sysctl/vm)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .units import Change, Unit

SWAPPINESS = "/proc/sys/vm/swappiness"


class Swap(Unit):
    """The kernel asked not to swap while it can help it; what is swapped out stays so, and no swap is switched off."""

    name = "swap"
    READ = f"""
total=0; while read -r key value unit; do [ "$key" = SwapTotal: ] && total=$value; done < /proc/meminfo
[ "$total" -gt 0 ] && {{ read -r line < {SWAPPINESS}; printf 'swappiness\\t%s\\n' "$line"; }}
"""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change of vm.swappiness to 0, where there is swap."""
        value = found.get("swappiness", "0")
        return [Change.of_file(SWAPPINESS, value, "0")] if value != "0" else []

    def told(self, found: Mapping[str, str]) -> str:
        """Return "swap, swappiness 60"."""
        return f"swap, swappiness {found.get('swappiness', 'unknown')}"
