"""One runner measures on a device at a time: a lease file there, with holder and expiry by the device's own clock.

The lease is a line ``TOKEN EXPIRY HOLDER`` in ``<root>/lease``. Whoever finds it expired may take it. Each run checks
the token in the same round trip that starts it (fencing), so a holder whose lease was taken can't measure beside the
new one. flock(1) on the folder guards the look-then-write where the device has it; without it two takers within the
same few milliseconds could both believe they won, and the fencing of the next run sends one of them home.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass

from seatrial_targets.errors import DeviceError, LeaseHeldError

from .deadline import Deadline
from .transport.base import Completed, Transport

HELD, LOST = 73, 75  # exit codes of the scripts below, clear of the shell's own
LEASE_SECONDS = 120
ROUND_TRIP_SECONDS = 30.0

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
    'root=$1 mine=$2 seconds=$3 me=$4; mkdir -p "$root"\n'
    + GUARD
    + f"""
if [ -n "$token" ] && [ "$token" != "$mine" ] && [ "$expiry" -gt "$now" ]; then
  printf '%s %s' "$((expiry - now))" "$holder"; exit {HELD}
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

GIVE_BACK = "root=$1 mine=$2\n" + GUARD + '[ "$token" = "$mine" ] && rm -f lease; exit 0\n'


@dataclass(frozen=True)
class Lease:
    """A lease that we hold: its token, and how long each renewal lasts in seconds."""

    token: str
    seconds: int = LEASE_SECONDS


def take(transport: Transport, seconds: int = LEASE_SECONDS) -> Lease:
    """Take the device's lease. Raises LeaseHeldError, naming the holder and the seconds left, when it is held."""
    lease = Lease(secrets.token_hex(8), seconds)
    done = _script(transport, TAKE, lease.token, str(seconds), holder())
    if done.returncode == HELD:
        left, _, who = printable(done.stdout).partition(" ")
        raise LeaseHeldError(
            f"{transport.name}: {who or 'another runner'} is measuring on it, its lease ends in {left} s;"
            " wait, or stop that run (two at once would spoil both)"
        )
    _expect(done, transport, "taking the lease")
    return lease


def give_back(transport: Transport, lease: Lease) -> None:
    """Remove the lease if it is still ours."""
    _expect(_script(transport, GIVE_BACK, lease.token), transport, "giving the lease back")


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
