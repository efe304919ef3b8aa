"""A stand-in Mac: this machine behind its real sshd, with the tools that a Mac has and no others.

What a Mac says of itself is made up; `swift build` puts the stand-in runner where the compiler would put the real one.
GNU and util-linux tools that macOS lacks (setsid, timeout, flock, nproc, sha256sum) are not on its PATH.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

MACOS_HAS = [
    "sh",
    "cat",
    "head",
    "tail",
    "wc",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
    "ln",
    "cp",
    "chmod",
    "tar",
    "sed",
    "tr",
    "df",
    "du",
    "ls",
    "dirname",
    "basename",
    "find",
    "env",
    "kill",
    "sleep",
    "grep",
    "openssl",
    "shasum",
    "readlink",
    "date",
    "awk",
    "id",
    "mktemp",
    "true",
    "test",
    "ps",
    "touch",
    "sort",
    "cut",
]
BATTERY = "Now drawing from 'Battery Power'\\n -InternalBattery-0 (id=1)\\t85%%; discharging; 3:20 remaining\\n"
RUNNER, DEVICECTL = (Path(__file__).with_name(f"{name}.py") for name in ("apple_runner", "devicectl"))

# 0.5 W, and 4 W while a run of the stand-in runner is in its burst.
POWERMETRICS = r"""last=$(date +%s%N)
while :; do
  sleep .02; cpu=500
  for busy in runs/*/busy; do [ ! -e "$busy" ] || cpu=4000; done
  now=$(date +%s%N); micro=$(((now - last) / 1000)); last=$now
  printf '*** Sampled system activity (Thu Jan  1 00:00:00 2026 +0000) '
  printf '(%d.%03dms elapsed) ***\n\n' $((micro / 1000)) $((micro % 1000))
  printf 'CPU Power: %d mW\nGPU Power: 0 mW\nANE Power: 0 mW\n' "$cpu"
done"""

SAYS = {
    "powermetrics": POWERMETRICS,
    "uname": 'case "$1" in -m) echo arm64 ;; -sr) echo "Darwin 24.1.0" ;; *) echo "Darwin 24.1.0 arm64" ;; esac',
    "sw_vers": 'case "$1" in -buildVersion) echo 24B83 ;; *) echo 15.1 ;; esac',
    "sysctl": """case "$2" in
hw.model) echo Mac99,1 ;; hw.ncpu) echo 10 ;; hw.memsize) echo 17179869184 ;;
vm.loadavg) echo "{ 0.10 0.20 0.30 }" ;; kern.bootsessionuuid) echo 11111111-2222-3333-4444-555555555555 ;;
esac""",
    "pmset": """case "$2" in
batt) printf "BATTERY" ;;
therm) printf "Note: No thermal warning level has been recorded\\n" ;;
esac""",
    "vm_stat": """printf 'Mach Virtual Memory Statistics: (page size of 16384 bytes)\\n'
printf 'Pages free:                               100000.\\nPages active:                              50000.\\n'
printf 'Pages inactive:                            20000.\\nPages speculative:                          1000.\\n'""",
}


def install(folder: Path, *, swift: bool = True, phone: Path | None = None, evaluated: bool = False) -> Path:
    """Put the tools into ``folder`` and return it: the PATH of its sessions. ``phone`` is the folder of one on it."""
    folder.mkdir(parents=True)
    for name in MACOS_HAS:
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    for name, script in SAYS.items():
        _write(folder / name, script.replace("BATTERY", BATTERY))
    if swift:
        _write(folder / "swift", _compiler("evaluated" if evaluated else "golden"))
    if phone:
        (phone / "container").mkdir(parents=True)
        (phone / "state.json").write_text("{}")
        _write(folder / "xcrun", f"exec '{sys.executable}' '{DEVICECTL}' '{phone}' \"$@\"")
    return folder


def _compiler(outputs: str) -> str:
    return f"""[ "$1" != --version ] || {{ echo "Swift version 99.0 (stand-in)"; exit 0; }}
[ "$1 $2 $3" = "build -c release" ] && [ -f Package.swift ] || exit 1
[ -f Sources/seatrial-apple/main.swift ] || exit 1
mkdir -p .build/release
made=.build/release/seatrial-apple
printf '#!/bin/sh\\nexport STAND_IN_OUTPUTS={outputs}\\nexec %s %s "$@"\\n' '{sys.executable}' '{RUNNER}' > $made
chmod 755 $made"""


def _write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
