"""macOS's own powermetrics: mean power of CPU, GPU and Neural Engine over each interval. Needs root.

Its intervals are exact, but its clock is told in whole seconds only; the readings are laid over the run by the edges of
the power. Source: man powermetrics(1), macOS 13 and later on Apple silicon.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import Channel, MeterInfo
from .programs import ProgramMeter, Readings

INTERVAL_MS = 100
UNITS = {"CPU Power": "CPU", "GPU Power": "GPU", "ANE Power": "ANE"}
_SAMPLE = re.compile(r"\*\*\* Sampled system activity \([^()]{1,80}\) \((\d{1,9}(?:\.\d{1,6})?)ms elapsed\) \*\*\*")
_POWER = re.compile(r"^(CPU Power|GPU Power|ANE Power): (\d{1,9}(?:\.\d{1,6})?) mW\s*$", re.MULTILINE)


class PowermetricsMeter(ProgramMeter):
    """The chip's own estimate of three of its units; DRAM and the rest of the machine are not in it."""

    name = "powermetrics"
    LIST = r"""
command -v powermetrics >/dev/null 2>&1 || exit 0
if [ "$(id -u)" = 0 ]; then printf 'powermetrics\troot\n'
elif sudo -n true 2>/dev/null; then printf 'powermetrics\tsudo\n'
else printf 'denied\tpowermetrics\n'; fi
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the meter, with the right that it is called by."""
        right = next((line.partition("\t")[2] for line in lines if line.endswith(("\troot", "\tsudo"))), "")
        if not right:
            return ()
        return (
            MeterInfo(
                id=f"powermetrics:{right}",
                kind="averaging",
                scope="CPU, GPU and Neural Engine of the chip",
                source="device program",
                rate_hz=1000 / INTERVAL_MS,
                resolution="1 mW",
                channels=tuple(
                    Channel(name=unit, quantity="power", counters=(unit,), scale=1000.0) for unit in UNITS.values()
                ),
                doubt="the chip's own estimate of three of its units, without memory and the rest of the machine",
            ),
        )

    def script(self, meter: MeterInfo) -> str:
        """Return the call."""
        sudo = "sudo -n " if meter.id.endswith(":sudo") else ""
        samplers = "--samplers cpu_power,gpu_power,ane_power"
        return f"exec {sudo}powermetrics -i {INTERVAL_MS} -a 0 {samplers}"

    def parse(self, output: bytes, meter: MeterInfo) -> Readings:
        """Return each sample at the end of its interval, from the beginning of the first one on. Powers in mW."""
        columns, rows, at_ns = tuple(UNITS.values()), [], 0.0
        parts = _SAMPLE.split(output.decode("utf-8", "replace"))[1:]
        for elapsed, text in zip(parts[::2], parts[1::2], strict=False):
            at_ns += float(elapsed) * 1e6
            found = {UNITS[name]: round(float(milliwatts)) for name, milliwatts in _POWER.findall(text)}
            if found:
                rows.append((round(at_ns), tuple(found.get(column) for column in columns)))
        return Readings("meter", columns, tuple(rows))
