"""What a Mac tells about itself, in one round trip, as any user: sw_vers, sysctl, pmset, vm_stat, df.

The formats are those of the manual pages; no Mac has been read yet by this (see "What is proven" in the README).
"""

from __future__ import annotations

from seatrial_targets.errors import DeviceError

from ...condition.state import parse_state
from ...deadline import Deadline
from ...printable import printable
from ...records import DeviceState
from ...transport.base import Transport

# `pmset -g batt` prints " -InternalBattery-0 (id=1)\t85%; discharging; 3:20 remaining"; `pmset -g therm` prints
# "CPU_Speed_Limit \t= 100" where the system limits speed, which Apple silicon does not say. vm_stat counts pages.
SCRIPT = r"""
say() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }
say kernel "$(uname -sr)"; say machine "$(uname -m)"
version=$(sw_vers -productVersion 2>/dev/null)
[ -z "$version" ] || say os "macOS $version ($(sw_vers -buildVersion))"
say model "$(sysctl -n hw.model 2>/dev/null)"
say cpu_count "$(sysctl -n hw.ncpu 2>/dev/null)"
say boot_id "$(sysctl -n kern.bootsessionuuid 2>/dev/null)"
say load "$(sysctl -n vm.loadavg 2>/dev/null | tr -d '{}' | { read -r one rest; echo "$one"; })"
memory=$(sysctl -n hw.memsize 2>/dev/null); [ -z "$memory" ] || say memory_total $((memory / 1024))
say memory_available "$(vm_stat 2>/dev/null | {
  free=0; size=4096
  while read -r line; do
    number=$(printf '%s' "${line##* }" | tr -d .)
    case "$line" in
      *"page size of "*) size=${line##*page size of }; size=${size%% *} ;;
      "Pages free:"*|"Pages inactive:"*|"Pages speculative:"*) free=$((free + number)) ;;
    esac
  done
  [ "$free" -eq 0 ] || echo $((free * (size / 1024))); })"
battery=$(pmset -g batt 2>/dev/null | sed -n 's/.*[^0-9]\([0-9]\{1,3\}\)%; *\([a-z ]*\);.*/\1 \2/p' | head -n 1)
if [ -n "$battery" ]; then
  say battery "${battery%% *}"
  case "${battery#* }" in discharging) say charging Discharging ;; *) say charging Charging ;; esac
fi
limit=$(pmset -g therm 2>/dev/null | sed -n 's/.*CPU_Speed_Limit[^0-9]*\([0-9]*\).*/\1/p')
[ -z "$limit" ] || { [ "$limit" -lt 100 ] && say throttled 1 || say throttled 0; }
df -Pk "$1" 2>/dev/null | { read -r line; read -r a b c free rest; say disk_free "$free"; }
exit 0
"""
SECONDS = 60.0


def read_mac(transport: Transport) -> DeviceState:
    """Return the Mac's state now. Raises DeviceError when the machine is no Mac."""
    argv = ["sh", "-c", SCRIPT, "seatrial", transport.root]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=1 << 20)
    state = parse_state(done.stdout)
    if not state.os.startswith("macOS"):
        what = state.kernel or printable(done.stderr) or f"exit code {done.returncode}"
        raise DeviceError(f"{transport.name}: is no Mac (it says: {what}); Core ML runs on Apple devices alone")
    return state
