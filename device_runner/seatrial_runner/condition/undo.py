"""The journal of what we changed on a device, kept on the device: `undo/` in our folder, one shell file per change.

A file is there, and on disk, before its change is made, and goes when the change was taken back. So a session that
ends takes its changes back, and after a crash, a lost link or a power cut the next one does, whoever runs it: the files
stand for themselves. Their names are a number, by which the last change is taken back first, and with which right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seatrial_targets.errors import DeviceError, DiskFullError

from ..deadline import Deadline
from ..printable import printable
from ..transport.base import Transport
from .units import Change

Right = Literal["login", "sudo", "su"]  # who makes a change: the user that we log in as, sudo, Android's su

SECONDS = 120.0

# `as RIGHT FILE` runs a shell file with the right. Magisk's su takes only -c, AOSP's only a user and words. Nothing may
# ask back: sudo -n, and no input (nvpmodel asks whether to reboot).
AS = r"""
as() {
  case $1 in
    sudo) sudo -n sh "$2" ;;
    su) su -c "sh '$2'" || su 0 sh "$2" ;;
    *) sh "$2" ;;
  esac </dev/null
}
"""

# Takes back what is in the journal, the last change first, in our folder; says `failed<TAB>what<TAB>why` of each that
# could not be. What a change that was about to be written down left behind has changed nothing.
UNDO = (
    AS
    + r"""
if [ -d undo ]; then
  rm -f undo/*.part
  for name in $(ls -r undo); do
    if said=$(as "${name##*.}" "$PWD/undo/$name" 2>&1); then rm -f "undo/$name"
    else printf 'failed\t%s\t%s\n' "$(head -n 1 "undo/$name")" "$(printf %s "$said" | tail -n 1)"; fi
  done
  rmdir undo 2>/dev/null
fi
"""
)

# Arguments in threes: right, how to take it back, how to make it. Prints the exit code, the journal's file and the last
# words of each.
MAKE = (
    AS
    + r"""
cd "$1" || exit 71; shift
LC_ALL=C; export LC_ALL; umask 077; mkdir -p undo || exit 74
number=$(ls -r undo | head -n 1); number=${number%%.*}; number=$((1${number:-0000} - 9999))
while [ $# -gt 0 ]; do
  file=undo/$(printf %04d "$number").$1
  { printf '%s\n' "$2" > "$file.part" && mv "$file.part" "$file" && { sync "$file" 2>/dev/null || sync; }; } || exit 74
  printf '%s\n' "$3" > change.part || exit 74
  said=$(as "$1" "$PWD/change.part" 2>&1); printf '%d\t%s\t%s\n' "$?" "$file" "$(printf %s "$said" | tail -n 1)"
  number=$((number + 1)); shift 3
done
rm -f change.part
"""
)


@dataclass(frozen=True)
class Made:
    """What became of a change: its exit code, what was said, and the journal's file that takes it back."""

    code: int
    said: str
    file: str = ""


def make(transport: Transport, changes: Sequence[Change], right: Right) -> list[Made]:
    """Write down how ``changes`` are taken back, then make them, one after the other. Return what became of each.

    Raises DiskFullError, or DeviceError when the journal can't be written: then the change was not made.
    """
    words = [word for change in changes for word in (right, f"# {_line(change.what)}\n{change.undo}", change.make)]
    argv = ["sh", "-c", MAKE, "seatrial", transport.root, *words]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=1 << 20)
    if not done.ok:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        kind = DiskFullError if "No space left" in said else DeviceError
        raise kind(f"{transport.name}: what is to be changed can't be written down in {transport.root}: {said}")
    made = [_outcome(line) for line in done.stdout.splitlines()]
    return made[: len(changes)] + [Made(-1, "nothing was heard of it")] * (len(changes) - len(made))


def _outcome(line: bytes) -> Made:
    code, file, said = (*line.split(b"\t", 2), b"", b"")[:3]
    return Made(int(code) if code.isdigit() else -1, printable(said), printable(file))


def forget(transport: Transport, files: Sequence[str]) -> None:
    """Take from the journal what is known to have changed nothing: taking it back would fail as making it did."""
    names = [file for file in files if re.fullmatch(r"undo/\d{4}\.[a-z]+", file)]
    if names:
        script = 'cd "$1" || exit 71; shift; rm -f "$@"; rmdir undo 2>/dev/null; exit 0'
        transport.run(["sh", "-c", script, "seatrial", transport.root, *names], deadline=Deadline.after(SECONDS))


def failures(said: bytes) -> Iterator[str]:
    """Yield, from the output of `UNDO`, what could not be taken back and why."""
    for line in said.splitlines():
        word, _, rest = line.partition(b"\t")
        what, _, why = rest.partition(b"\t")
        if word == b"failed":
            yield f"{printable(what).removeprefix('# ')}: {printable(why) or 'no reason was given'}"


def _line(text: str) -> str:
    return " ".join(text.split())
