"""Before a cold start: let the kernel forget what it holds of files. All of them takes root; ours do not."""

from __future__ import annotations

from typing import Literal

from ..deadline import Deadline
from ..records import Evicted
from ..transport.base import Transport
from .undo import AS, Right

PageCache = Literal["dropped", "evicted", "warm"]
MOST_LEFT = 0.02  # of our files' bytes: pages that somebody has mapped can't be evicted

# Nothing is lost by it, and nothing to take back: what is dropped is read again when it is wanted.
DROP = AS + (
    'cd "$1" || exit 71\n'
    "printf 'sync; echo 3 > /proc/sys/vm/drop_caches\\n' > drop.part || exit 74\n"
    'as "$2" "$PWD/drop.part"; code=$?; rm -f drop.part; exit "$code"\n'
)


def drop(transport: Transport, right: Right | None) -> bool:
    """Drop the whole page cache, dentries and inodes, where there is leave and right to. Return whether it was done."""
    if right is None:
        return False
    argv = ["sh", "-c", DROP, "seatrial", transport.root, right]
    return transport.run(argv, deadline=Deadline.after(120.0)).ok


def state_after(dropped: bool, evicted: Evicted | None) -> PageCache:
    """Return what the next start will find, in the words of `records.Run.page_cache`."""
    if dropped:
        return "dropped"
    if evicted is not None and evicted.bytes and evicted.resident <= MOST_LEFT * evicted.bytes:
        return "evicted"
    return "warm"
