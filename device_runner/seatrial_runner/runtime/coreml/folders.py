"""A bundle as folders again, on the machine that the transport reaches: Core ML wants its package as it was exported.

Files travel and are kept by content, once each; `packages/DIGEST/` in our folder there holds links to them under the
bundle's own names. It belongs to the cache: `seatrial devices clean` removes it.
"""

from __future__ import annotations

from seatrial_targets.errors import DeviceError

from ...bundle import Bundle
from ...deadline import Deadline
from ...printable import printable
from ...pusher import UP, Pusher
from ...transport.base import Transport

ROLES = ("artifact", "golden_input", "golden_output")
SECONDS = 120.0

# Pairs: the file's sha256, its path in the bundle. A folder is whole or has another name.
SCRIPT = r"""
cd "$1" || exit 71
whole=packages/$2 part=packages/$2.part.$$; shift 2
[ ! -d "$whole" ] || exit 0
rm -rf "$part" && mkdir -p "$part" || exit 72
while [ $# -gt 0 ]; do
  file=$part/$2
  mkdir -p "$(dirname "$file")" && { ln "blobs/$1" "$file" 2>/dev/null || cp "blobs/$1" "$file"; } || exit 72
  shift 2
done
mv "$part" "$whole" 2>/dev/null || { rm -rf "$part"; [ -d "$whole" ]; }
"""


def lay_out(transport: Transport, bundle: Bundle, pusher: Pusher) -> str:
    """Bring a bundle's files there and give them their names. Return the folder's path as a run's folder sees it.

    Raises DeviceError when the folder can't be made, and what a push raises.
    """
    wanted = [entry for entry in bundle.manifest.files if entry.role in ROLES]
    pusher.push_all({bundle.file(entry.path): entry.sha256 for entry in wanted})
    pairs = [word for entry in wanted for word in (entry.sha256, entry.path)]
    argv = ["sh", "-c", SCRIPT, "seatrial", transport.root, bundle.digest, *pairs]
    done = transport.run(argv, deadline=Deadline.after(SECONDS))
    if not done.ok:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        raise DeviceError(f"{transport.name}: can't lay out the bundle in {transport.root}/packages: {said}")
    return f"{UP}packages/{bundle.digest}"
