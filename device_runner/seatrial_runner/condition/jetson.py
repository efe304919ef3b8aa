"""What can be set on a Jetson: its power mode, its clocks, its fan. Unproven on a board; the words are NVIDIA's tools'.

- ``power-mode`` names the mode in the record; ``power-mode=15W`` sets it (nvpmodel). Some boards want to reboot for
  that: they are never told yes, and the mode stays what it was.
- ``clocks`` locks CPU, GPU and memory at what the power mode allows (jetson_clocks), and restores what was stored.
- ``fan`` lets it turn at full speed, and gives it back to the service that controls it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from .units import Change, Unit

STORE = "jetson-clocks.conf"  # in our folder on the device
FULL = "255"

# nvpmodel lies in /usr/sbin, which is not on everybody's PATH. Whatever it asks on its standard input, nobody answers.
SET_MODE = """\
PATH=$PATH:/usr/sbin:/sbin
said=$(nvpmodel -m {number} 2>&1 </dev/null); code=$?
case "$said" in
  *[Rr][Ee][Bb][Oo][Oo][Tt]*)
    echo 'the board wants to reboot for it, which we never let it; set it yourself: sudo nvpmodel -m {number}'
    exit 75 ;;
esac
printf '%s\\n' "$said"; exit "$code"
"""


class PowerMode(Unit):
    """The power mode by its name, which means the same on all boards; its number does not."""

    name = "power-mode"
    takes_value = True
    READ = r"""
PATH=$PATH:/usr/sbin:/sbin
command -v nvpmodel >/dev/null 2>&1 || exit 0
told=$(nvpmodel -q 2>/dev/null </dev/null)
name=$(printf '%s\n' "$told" | sed -n 's/^NV Power Mode: *//p' | head -n 1)
number=$(printf '%s\n' "$told" | grep -E '^[0-9]+$' | head -n 1)
if [ -z "$number" ] && [ -r /var/lib/nvpmodel/status ]; then
  read -r line < /var/lib/nvpmodel/status; number=$(printf %s "$line" | sed -n 's/^pmode:0*\([0-9][0-9]*\).*/\1/p')
fi
modes='s/^< *POWER_MODEL *ID=\([0-9]*\) *NAME=\([^ >]*\).*/can \1\t\2/p'
[ -r /etc/nvpmodel.conf ] && sed -n "$modes" /etc/nvpmodel.conf
[ -n "$number" ] && printf 'number\t%s\n' "$number"
[ -n "$name" ] && printf 'mode\t%s\n' "$name"
"""

    def __init__(self, wanted: str = "") -> None:
        """``wanted`` is the name of a mode, as in /etc/nvpmodel.conf; empty: whatever it is."""
        self.wanted = wanted

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change to the wanted mode, where it is another and the board has it."""
        number, present = self._number(found), found.get("number", "")
        if not self.wanted or number is None or number == present or not re.fullmatch(r"\d{1,3}", present):
            return []
        make, undo = (SET_MODE.format(number=value) for value in (number, present))
        return [Change(f"power mode {mode_of(found)} -> {self.wanted}", make, undo)]

    def cannot(self, found: Mapping[str, str]) -> str:
        """Return that the board has no such mode, and which it has."""
        if not self.wanted or not found or self._number(found) is not None:
            return ""
        return (
            f"the board has no power mode {self.wanted}; it has {', '.join(_modes(found).values()) or 'none we know'}"
        )

    def told(self, found: Mapping[str, str]) -> str:
        """Return "power mode 15W"."""
        return f"power mode {mode_of(found)}"

    def _number(self, found: Mapping[str, str]) -> str | None:
        return next((number for number, name in _modes(found).items() if name == self.wanted), None)


class JetsonClocks(Unit):
    """CPU and GPU at one clock, the highest that the power mode allows."""

    name = "clocks"
    READ = r"""
PATH=$PATH:/usr/sbin:/sbin
command -v jetson_clocks >/dev/null 2>&1 || exit 0
pair() {
  low= high=; { read -r low < "$2"; read -r high < "$3"; } 2>/dev/null
  [ -n "$low" ] && printf '%s\t%s %s\n' "$1" "$low" "$high"
}
for d in /sys/devices/system/cpu/cpufreq/policy*; do
  pair "cpu ${d##*/}" "$d/scaling_min_freq" "$d/scaling_max_freq"
done
for d in /sys/class/devfreq/*.gpu /sys/class/devfreq/*.gv11b /sys/class/devfreq/*.ga10b /sys/class/devfreq/*.gp10b \
  /sys/class/devfreq/gpu-gpc-0; do
  pair "gpu ${d##*/}" "$d/min_freq" "$d/max_freq"
done
exit 0
"""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the one change that locks all clocks, unless they are locked."""
        if not _unlocked(found):
            return []
        store = shlex.quote(STORE)
        # jetson_clocks asks before it writes over a file.
        make = f"rm -f {store} && jetson_clocks --store {store} && jetson_clocks\n"
        undo = f"if [ -f {store} ]; then jetson_clocks --restore {store} && rm -f {store}; fi\n"
        return [Change("clocks -> locked at their highest (jetson_clocks)", make, undo)]

    def told(self, found: Mapping[str, str]) -> str:
        """Return whether clocks are locked, and which are not."""
        loose = _unlocked(found)
        return f"clocks not locked ({', '.join(loose)})" if loose else "clocks locked"


class JetsonFan(Unit):
    """The fan at full speed, whatever the service that controls it wants."""

    name = "fan"
    READ = r"""
for f in /sys/devices/platform/pwm-fan/hwmon/hwmon*/pwm1 /sys/devices/pwm-fan/target_pwm; do
  value=; { read -r value < "$f"; } 2>/dev/null && [ -n "$value" ] && printf 'pwm %s\t%s\n' "$f" "$value"
done
if command -v systemctl >/dev/null 2>&1; then
  printf 'service\t%s\n' "$(systemctl is-active nvfancontrol 2>/dev/null)"
fi
"""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change for each fan that turns slower; the service that would slow it down again is stopped."""
        stop = start = ""
        if found.get("service") == "active":
            stop, start = "systemctl stop nvfancontrol\n", "systemctl start nvfancontrol\n"
        return [
            Change(f"fan {value} -> {FULL}", f"{stop}echo {FULL} > {path}\n", f"echo {value} > {path}\n{start}")
            for path, value in _fans(found).items()
            if value != FULL
        ]

    def told(self, found: Mapping[str, str]) -> str:
        """Return "fan at 120 of 255"."""
        return f"fan at {', '.join(_fans(found).values()) or 'no speed that it tells'} of {FULL}"


def mode_of(found: Mapping[str, str]) -> str:
    """Return the present mode's name, by what nvpmodel or its files said."""
    number = found.get("number", "")
    return found.get("mode") or _modes(found).get(number) or (f"number {number}" if number else "unknown")


def _modes(found: Mapping[str, str]) -> dict[str, str]:
    return {key[4:]: name for key, name in found.items() if re.fullmatch(r"can \d{1,3}", key)}


def _unlocked(found: Mapping[str, str]) -> list[str]:
    pairs = {key: value.split() for key, value in found.items() if key.startswith(("cpu ", "gpu "))}
    return [key for key, pair in pairs.items() if len(pair) == 2 and pair[0] != pair[1]]


def _fans(found: Mapping[str, str]) -> dict[str, str]:
    pattern = r"pwm (/sys/devices/(?:platform/pwm-fan/hwmon/hwmon\d+/pwm1|pwm-fan/target_pwm))"
    matches = ((re.fullmatch(pattern, key), value) for key, value in found.items())
    return {match[1]: value for match, value in matches if match and re.fullmatch(r"\d{1,3}", value)}
