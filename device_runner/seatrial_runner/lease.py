"""One runner measures on a device at a time: a lease file there, with holder and expiry by the device's own clock.

The lease is a line ``TOKEN EXPIRY@BOOT IDENTITY HOLDER`` in ``<root>/lease``. Whoever finds it expired may take it.
Each run checks the token in the same round trip that starts it (fencing), so a holder whose lease was taken can't
measure beside the new one. flock(1) on the folder guards the look-then-write where the device has it; without it two
takers within the same few milliseconds could both believe they won, and the fencing of the next run sends one of them
home.

The clock is the kernel's time since boot, BOOT its boot id: whoever sets the wall clock neither frees a lease nor makes
it last, and one from before a restart is void, since what it guarded has ended. A device that tells neither (a Mac)
gets a bare EXPIRY by the wall clock; one more than a day ahead is none, as that clock was set back.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from seatrial_targets.errors import DeviceError, DiskFullError, LeaseHeldError, SeatrialError

from .deadline import Deadline
from .printable import printable
from .transport.base import Completed, Transport

HELD, LOST = 73, 75  # exit codes of the scripts below, clear of the shell's own
LEASE_SECONDS = 60
LONGEST_SECONDS = 86_400
ROUND_TRIP_SECONDS = 30.0
_abandoned: set[str] = set()

# From `expiry` to `left`, the seconds that a lease has left; `now` and `at` are for writing one of our own.
CLOCK = f"""
boot='' now='' at=''
{{ read -r boot < /proc/sys/kernel/random/boot_id && read -r now left < /proc/uptime; }} 2>/dev/null
now=${{now%%.*}}
case "$now" in ''|*[!0-9]*) now=$(date +%s) ;; *) at=@$boot ;; esac
then=$now
case "$expiry" in
  *@*) [ "$at" = "@${{expiry#*@}}" ] || expiry=0; expiry=${{expiry%%@*}} ;;
  *) [ -z "$at" ] || then=$(date +%s) ;;
esac
case "$expiry" in ''|*[!0-9]*|????????????*) expiry=0 ;; esac
left=$((expiry - then))
[ "$left" -le {LONGEST_SECONDS} ] || left=0
"""

# The flocks of toybox (Android) and busybox can't wait for a while; mksh (Android's shell) hands descriptors above 2
# only to programs that name them. It is cat that writes, since dash's printf does not say why it can't.
GUARD = f"""
LC_ALL=C; export LC_ALL
cd "$root" || exit 71
if command -v flock >/dev/null 2>&1; then
  exec 9<.; tries=0
  until flock -n 9 9<&9; do
    tries=$((tries + 1)); [ "$tries" -le 100 ] || exit 72; sleep .1 2>/dev/null || sleep 1
  done
fi
token='' expiry=0 holder=''
if [ -f lease ]; then read -r token expiry holder < lease || :; fi
{CLOCK}
write() {{
  printf '%s %s%s %s\\n' "$1" "$2" "$at" "$3" |
    cat > "lease.$1" && mv -f "lease.$1" lease || {{ rm -f "lease.$1"; return 1; }}
}}
"""

TAKE = (
    'root=$1 mine=$2 seconds=$3 me=$4 dead=$5; mkdir -p "$root"\n'
    + GUARD
    + f"""
if [ -n "$token" ] && [ "$token" != "$mine" ] && [ "$token" != "$dead" ] && [ "$left" -gt 0 ]; then
  printf '%s %s %s' "$token" "$left" "$holder"; exit {HELD}
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
LOOK = f"""
cd "$1" 2>/dev/null && [ -f lease ] || exit 0
read -r token expiry holder < lease || :
{CLOCK}
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
    # With a letter in it, so that a transcript's masks tell it from a number.
    lease = Lease(f"a{secrets.token_hex(8)[1:]}", seconds)
    try:
        _take(transport, lease)
    except KeyboardInterrupt:  # it may have been granted, and we have not heard
        with contextlib.suppress(SeatrialError):
            give_back(transport, lease)
        raise
    return lease


def _take(transport: Transport, lease: Lease) -> None:
    dead = ""
    for _ in range(2):
        done = _script(transport, TAKE, lease.token, str(lease.seconds), f"{identity()} {holder()}", dead)
        if done.returncode != HELD:
            _expect(done, transport, "taking the lease")
            return
        token, left, who, *name = [*printable(done.stdout).split(" "), "", "", ""]
        dead = token if _has_ended(token, who) else ""
        if not dead:
            break
    raise LeaseHeldError(
        f"{transport.name}: {' '.join(name).strip() or 'another runner'} is measuring on it, its lease ends in {left}"
        " s; wait, or stop that run (two at once would spoil both)"
    )


def renew(transport: Transport, lease: Lease, seconds: int) -> None:
    """Let the lease end ``seconds`` from now. Raises LeaseHeldError when it was taken from us."""
    done = _script(transport, "root=$1 mine=$2 seconds=$3\n" + RENEW, lease.token, str(seconds))
    refuse_lost(done, transport)
    _expect(done, transport, "renewing the lease")


def refuse_lost(done: Completed, transport: Transport) -> None:
    """Raise LeaseHeldError when a script with RENEW at its head found the lease in other hands."""
    if done.returncode == LOST:
        who = printable(done.stdout).partition(" ")[2] or "nobody (the lease file is gone)"
        raise LeaseHeldError(f"{transport.name}: our lease was lost to {who}; try again when it is free")


def give_back(transport: Transport, lease: Lease) -> None:
    """Remove the lease if it is still ours."""
    _expect(_script(transport, GIVE_BACK, lease.token), transport, "giving the lease back")


def held_by(transport: Transport) -> tuple[str, int]:
    """Return who measures on the device now, and the seconds that the lease has left; ("", 0) when nobody does."""
    done = _script(transport, LOOK)
    token, left, who, *name = [*printable(done.stdout).split(" "), "", "", ""]
    if not (left.isascii() and left.isdigit()) or _has_ended(token, who):
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


def _script(transport: Transport, script: str, *arguments: str) -> Completed:
    argv = ["sh", "-c", script, "seatrial", transport.root, *arguments]
    return transport.run(argv, deadline=Deadline.after(ROUND_TRIP_SECONDS))


def _expect(done: Completed, transport: Transport, doing: str) -> None:
    if not done.ok:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        if "No space left" in said:
            raise DiskFullError(
                f"{transport.name}: {doing}: no space left in {transport.root}; free some, or"
                f" `seatrial devices clean {transport.name}`"
            )
        raise DeviceError(f"{transport.name}: {doing} in {transport.root} failed: {said}; can that folder be written?")
