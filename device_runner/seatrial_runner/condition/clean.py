"""Leave nothing on a device: remove the cache of pushed files, and what crashed runs left behind."""

from __future__ import annotations

from seatrial_targets.errors import DeviceError, DiskFullError

from .. import lease as leases
from ..deadline import Deadline
from ..printable import printable
from ..run import sweep
from ..transport.base import Transport

SECONDS = 120.0
# Only folders that we made, by name: a root that was set wrongly must not cost anybody their files.
REMOVE = r"""
cd "$1" || exit 71
set -- blobs packages apple engines timing runs
before=$(du -sk "$@" 2>/dev/null | { sum=0; while read -r kib name; do sum=$((sum + kib)); done; echo "$sum"; })
rm -rf "$@" && printf '%s' "$before"
"""


def clean(transport: Transport) -> int:
    """Remove everything in our folder, with the lease in hand. Return the bytes that were freed, by blocks.

    Raises LeaseHeldError when somebody measures there, DeviceError when the files can't be removed.
    """
    freed = 0
    try:
        lease = leases.take(transport)
    except DiskFullError:
        # Nobody measures there, or that would have been said first; nor can anybody begin to, for want of a lease.
        freed = _remove(transport)
        lease = leases.take(transport)
    try:
        sweep(transport)
        return freed + _remove(transport)
    finally:
        leases.give_back(transport, lease)


def _remove(transport: Transport) -> int:
    argv = ["sh", "-c", REMOVE, "seatrial", transport.root]
    done = transport.run(argv, deadline=Deadline.after(SECONDS))
    if not done.ok:
        raise DeviceError(f"{transport.name}: {transport.root} can't be emptied: {printable(done.stderr)}")
    freed = printable(done.stdout)
    return int(freed) * 1024 if freed.isascii() and freed.isdigit() else 0
