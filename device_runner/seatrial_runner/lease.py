"""One runner measures on a device at a time: a lease file there, with holder and expiry by the device's own clock.

The lease is a line ``TOKEN EXPIRY IDENTITY HOLDER`` in ``<root>/lease``. Whoever finds it expired may take it. Each
run checks the token in the same round trip that starts it (fencing), so a holder whose lease was taken can't measure
beside the new one. flock(1) on the folder guards the look-then-write where the device has it; without it two takers
within the same few milliseconds could both believe they won, and the fencing of the next run sends one of them home.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from seatrial_targets.errors import DeviceError, LeaseHeldError

from .deadline import Deadline
from .transport.base import Completed, Transport

HELD, LOST = 73, 75  # exit codes of the scripts below, clear of the shell's own
LEASE_SECONDS = 60
ROUND_TRIP_SECONDS = 30.0
_abandoned: set[str] = set()

GUARD = """
cd "$root" || exit 71
if command -v flock >/dev/null 2>&1; then exec 9<.; flock -w 10 9 || exit 72; fi
now=$(date +%s)
token='' expiry=0 holder=''
if [ -f lease ]; then read -r token expiry holder < lease || :; fi
case "$expiry" in ''|*[!0-9]*) expiry=0;; esac
write() { printf '%s %s %s\\n' "$1" "$2" "$3" > "lease.$1" && mv -f "lease.$1" lease; }
"""

TAKE = (
    'root=$1 mine=$2 seconds=$3 me=$4 dead=$5; mkdir -p "$root"\n'
    + GUARD
    + f"""
if [ -n "$token" ] && [ "$token" != "$mine" ] && [ "$token" != "$dead" ] && [ "$expiry" -gt "$now" ]; then
  printf '%s %s %s' "$token" "$((expiry - now))" "$holder"; exit {HELD}
fi
write "$mine" "$((now + seconds))" "$me" || exit 74
"""
)

# Used at the head of every run's script; leaves the shell in the root folder, without the guard's lock.
RENEW = (
    GUARD
    + f"""
[ "$token" = "$mine" ] || {{ printf '%s' "$holder"; exit {LOST}; }}
write "$mine" "$((now + seconds))" "$holder" || exit 74
exec 9<&-
"""
)

# Looks without the guard's lock and without writing: whoever measures must not notice.
LOOK = r"""
cd "$1" 2>/dev/null && [ -f lease ] || exit 0
read -r token expiry holder < lease || :
case "$expiry" in ''|*[!0-9]*) exit 0;; esac
left=$((expiry - $(date +%s)))
[ "$left" -gt 0 ] && printf '%s %s %s' "$token" "$left" "$holder"
exit 0
"""

GIVE_BACK = "root=$1 mine=$2\n" + GUARD + 'rm -f "lease.$mine"; [ "$token" = "$mine" ] && rm -f lease; exit 0\n'


@dataclass(frozen=True)
class Lease:
    """A lease that we hold: its token, and how long each renewal lasts in seconds."""

    token: str
    seconds: int = LEASE_SECONDS


def take(transport: Transport, seconds: int = LEASE_SECONDS) -> Lease:
    """Take the device's lease. Raises LeaseHeldError, naming the holder and the seconds left, when it is held.

    A lease whose holder was a process of this machine that has ended is taken over: it crashed or lost its link.
    """
    lease, dead = Lease(secrets.token_hex(8), seconds), ""
    for _ in range(2):
        done = _script(transport, TAKE, lease.token, str(seconds), f"{identity()} {holder()}", dead)
        if done.returncode != HELD:
            _expect(done, transport, "taking the lease")
            return lease
        token, left, who, *name = [*printable(done.stdout).split(" "), "", "", ""]
        dead = token if _has_ended(token, who) else ""
        if not dead:
            break
    raise LeaseHeldError(
        f"{transport.name}: {' '.join(name).strip() or 'another runner'} is measuring on it, its lease ends in {left}"
        " s; wait, or stop that run (two at once would spoil both)"
    )


def give_back(transport: Transport, lease: Lease) -> None:
    """Remove the lease if it is still ours."""
    _expect(_script(transport, GIVE_BACK, lease.token), transport, "giving the lease back")


def held_by(transport: Transport) -> tuple[str, int]:
    """Return who measures on the device now, and the seconds that the lease has left; ("", 0) when nobody does."""
    done = _script(transport, LOOK)
    token, left, who, *name = [*printable(done.stdout).split(" "), "", "", ""]
    if not left.isdigit() or _has_ended(token, who):
        return "", 0
    return " ".join(name).strip() or "another runner", int(left)


def abandon(lease: Lease) -> None:
    """Note that our lease could not be given back, so that this process may take the device again."""
    _abandoned.add(lease.token)


def identity() -> str:
    """Return which process we are, so that a later one on this machine can tell whether we ended; "-" if untold."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
        return f"{boot}:{namespace}:{os.getpid()}:{_started(os.getpid())}"
    except OSError:
        return "-"


def _has_ended(token: str, who: str) -> bool:
    if token in _abandoned:
        return True
    ours, theirs = identity().split(":"), who.split(":")
    if len(theirs) != 4 or ours[:2] != theirs[:2] or not theirs[2].isdigit():
        return False
    return _started(int(theirs[2])) != theirs[3]


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot (field 22 of /proc/PID/stat); empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def holder() -> str:
    """Return who we are, for others to read: user@host and process id."""
    user = os.environ.get("USER") or str(os.getuid())
    return re.sub(r"[^\w.@-]", "_", f"{user}@{socket.gethostname()}") + f" (process {os.getpid()})"


def printable(data: bytes, limit: int = 400) -> str:
    """Return device output as one line that is safe to show: no control characters, bounded."""
    text = data[: limit * 4].decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)[:limit]


def _script(transport: Transport, script: str, *arguments: str) -> Completed:
    argv = ["sh", "-c", script, "seatrial", transport.root, *arguments]
    return transport.run(argv, deadline=Deadline.after(ROUND_TRIP_SECONDS))


def _expect(done: Completed, transport: Transport, doing: str) -> None:
    if not done.ok:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        raise DeviceError(f"{transport.name}: {doing} in {transport.root} failed: {said}; can that folder be written?")
