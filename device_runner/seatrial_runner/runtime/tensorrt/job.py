"""Jobs for the device in plain sh, and what they send back: named values and whole files, in one stream.

A job runs in a run's own folder (see `seatrial_runner.run`). What it prints is, in any order,

    seatrial-value TOKEN NAME WORDS...
    seatrial-file TOKEN NAME SIZE           followed by SIZE bytes and a line end
    seatrial-end TOKEN                      the last line

so that files come back in the same round trip, whatever bytes they hold. Needs sh, head, tail, wc, cat; no root.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seatrial_targets.errors import AgentError

from ...lease import Lease
from ...printable import printable
from ...run import how_it_ended, run_in_folder
from ...transport.base import Transport
from ...transport.shell import SHA256

MOST_LOG_BYTES = 8 << 20
_HEAD = re.compile(rb"seatrial-(value|file|end) ([0-9a-f]{1,64})(?: ([a-z_0-9.]{1,40}) ?([^\n]{0,4000}))?\n")

# TZ: the dates in trtexec's lines. CUDA_MODULE_LOADING: what a first inference costs hangs on it, so it is said.
PROLOGUE = (
    r"""LC_ALL=C TZ=UTC0 CUDA_MODULE_LOADING=LAZY; export LC_ALL TZ CUDA_MODULE_LOADING
umask 077
value() { printf 'seatrial-value %s %s %s\n' "$token" "$1" "$2"; }
send() {
  [ -f "$2" ] || return 0
  printf 'seatrial-file %s %s %s\n' "$token" "$1" "$(($(wc -c < "$2")))"; cat "$2"; echo
}
log() { tail -c """
    + str(MOST_LOG_BYTES)
    + r""" "$2" > log.end && send "$1" log.end; }
available() { kib=0; while read -r key kib unit; do [ "$key" = MemAvailable: ] && return; done < /proc/meminfo; kib=0; }
watch() {
  available; least=$kib; echo "$least" >> "$1"
  while sleep .03 2>/dev/null || sleep 1; do
    available; [ "$kib" -ge "$least" ] || { least=$kib; echo "$least" >> "$1"; }
  done
}
killed() { count=0; while read -r key number; do [ "$key" != oom_kill ] || count=$number; done < /proc/vmstat; }
now() { read -r up rest < /proc/uptime; }
"""
    + SHA256
)
# The memory that is in use more at the peak than before, in KiB, and whether the kernel killed for want of it.
WATCHED = r"""available; before=$kib; killed; kills=$count; now; begin=$up
watch least & watcher=$!
%s
kill "$watcher" 2>/dev/null; wait "$watcher" 2>/dev/null
now; killed; least=$(tail -n 1 least)
value begin "$begin"; value end "$up"; value before_kib "$before"; value least_kib "$least"
value oom_kills "$((count - kills))"; value code "$code"
"""


@dataclass(frozen=True)
class Answer:
    """What a job sent back."""

    values: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """Return a value as a number that is not negative, or None."""
        text = self.values.get(name, "")
        return float(text) if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", text) else None

    @property
    def code(self) -> int:
        """Return the exit code of what was run; -1 when it was not told."""
        number = self.number("code")
        return -1 if number is None else int(number)

    @property
    def peak_delta(self) -> int | None:
        """Return by how many bytes the machine's use of memory rose at most, or None."""
        before, least = self.number("before_kib"), self.number("least_kib")
        return None if not before or least is None else max(0, int(before - least)) * 1024

    @property
    def seconds(self) -> float | None:
        """Return how long it took, to 10 ms, or None."""
        begin, end = self.number("begin"), self.number("end")
        return None if begin is None or end is None or end < begin else end - begin


@dataclass(frozen=True)
class Place:
    """Where jobs run: a device that we hold."""

    transport: Transport
    lease: Lease

    def run(self, body: str, token: str, seconds: float, *, ends: str = "", max_output: int = 64 << 20) -> Answer:
        """Run a job's ``body`` and return its answer. Raises AgentError when it ended early, and as transports do.

        ``ends`` is as in `run_in_folder`.
        """
        text = f"token={token}\n{PROLOGUE}{body}\nprintf 'seatrial-end %s\\n' \"$token\"\n".encode()
        done = run_in_folder(self.transport, self.lease, ["sh"], text, seconds, ends=ends, max_output=max_output)
        try:
            return parse_answer(done.stdout, token)
        except AgentError as error:
            raise AgentError(f"{self.transport.name}: {how_it_ended(done)}; {error}") from error


def parse_answer(stdout: bytes, token: str) -> Answer:
    """Return the values and files in ``stdout``. Raises AgentError for anything that is not of the form above."""
    values: dict[str, str] = {}
    files: dict[str, bytes] = {}
    at = 0
    while found := _HEAD.match(stdout, at):
        kind, mark, name, rest = found.groups()
        if mark.decode() != token:
            raise AgentError("a mark in the output is not this run's, so the output is stale or mixed")
        at = found.end()
        if kind == b"end":
            if at != len(stdout):
                break
            return Answer(values, files)
        if kind == b"value":
            values[_word(name)] = printable(rest, 4000)
        else:
            at = _take_file(files, stdout, at, _word(name), rest)
    said = printable(stdout[at : at + 800], 200) or "nothing more"
    raise AgentError(f"the output is not whole, or not of the agreed form, at byte {at}: {said}")


def command(words: Sequence[str], log: str, cpus: Sequence[int] = ()) -> str:
    """Return a line that runs ``words``, keeps both its streams in ``log``, and leaves the exit code in $code."""
    pinned = ["taskset", "-c", ",".join(map(str, cpus))] if cpus else []
    return f"{shlex.join([*pinned, *words])} > {shlex.quote(log)} 2>&1 </dev/null; code=$?"


def _word(name: bytes | None) -> str:
    return (name or b"").decode("ascii")


def _take_file(files: dict[str, bytes], stdout: bytes, at: int, name: str, size: bytes) -> int:
    if not re.fullmatch(rb"\d{1,12}", size or b""):
        raise AgentError(f"the size of the file {name!r} is no number")
    end = at + int(size)
    if stdout[end : end + 1] != b"\n":
        raise AgentError(f"the file {name!r} was cut short")
    files[name] = stdout[at:end]
    return end + 1
