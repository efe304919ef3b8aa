"""Files of the device, read at a steady rate while trtexec runs, and when its inferences began and ended.

In plain sh a reading every 20 ms is about the fastest, stamped to 10 ms by /proc/uptime: enough for clocks,
temperatures and meters that average. Where a point meter wants more and the device has a python3, that reads; both
stamp with the time since the device's start.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from ...records import EnergySample, SensorTrace
from .job import Answer

FASTEST_S = 0.02
MOST_SAMPLES = 200_000
# Lines with the time since the start of the device, and a word per file: its number, or "-".
FAST = """import sys, time
period, paths = float(sys.argv[1]), sys.argv[2:]
following = time.monotonic()
with open("samples", "w", buffering=1) as out:
    while True:
        row = ["%.6f" % time.clock_gettime(time.CLOCK_BOOTTIME)]
        for path in paths:
            try:
                with open(path, "rb", buffering=0) as file:
                    row.append(file.read(63).split()[0].decode())
            except (OSError, IndexError, UnicodeDecodeError):
                row.append("-")
        out.write(" ".join(row) + "\\n")
        following = max(following + period, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))
"""
SAMPLE = r"""sample() {
  while :; do
    now; row=$up
    for file in %s; do
      word=-; { read -r word rest < "$file"; } 2>/dev/null || word=-
      row="$row $word"
    done
    echo "$row" >> samples
    sleep %s 2>/dev/null || sleep 1
  done
}
sample & sampler=$!
"""
STOP = 'kill "$sampler" 2>/dev/null; wait "$sampler" 2>/dev/null; send samples samples\n'
# trtexec flushes every line that it prints (logging.h), so the moment of a line is that of what it tells.
LISTEN = r"""{ %s 2>&1 </dev/null; echo "$?" > code; } | while IFS= read -r line; do
  case "$line" in
    *"[I] Starting inference"*) now; echo "$up" > began ;;
    *"[I] Warmup completed"*|*"[I] Timing trace has"*) [ -s over ] || { now; echo "$up" > over; } ;;
  esac
  printf '%%s\n' "$line"
done > log.txt
read -r code < code; value code "$code"
for word in began over; do [ -s "$word" ] && { read -r up < "$word"; value "$word" "$up"; }; done
"""


def sampler(files: Sequence[str], period_s: float) -> str:
    """Return sh that reads ``files`` every ``period_s`` in the background, until `STOP`."""
    slow = SAMPLE % (" ".join(map(shlex.quote, files)), f"{max(FASTEST_S, period_s):.3f}")
    if period_s >= FASTEST_S:
        return slow
    fast = shlex.join(["python3", "-c", FAST, f"{period_s:.6f}", *files])
    return f"if command -v python3 >/dev/null 2>&1; then {fast} & sampler=$!\nelse\n{slow}fi\n"


def listened(words: Sequence[str], cpus: Sequence[int] = ()) -> str:
    """Return sh that runs trtexec into log.txt, and tells when its inferences began and were over."""
    pinned = ["taskset", "-c", ",".join(map(str, cpus))] if cpus else []
    return LISTEN % shlex.join([*pinned, *words])


def read_samples(raw: bytes, count: int) -> tuple[EnergySample, ...]:
    """Return the readings of ``count`` files; a line that is no such reading is left out."""
    found = []
    for line in raw.split(b"\n")[:MOST_SAMPLES]:
        words = line.split()
        if len(words) == count + 1 and re.fullmatch(rb"\d{1,12}\.\d{2,9}", words[0]):
            found.append(EnergySample(t_ns=_ns(words[0].decode()), values=tuple(map(_integer, words[1:]))))
    return tuple(found)


def during(answer: Answer, clocks: Mapping[str, str]) -> SensorTrace | None:
    """Return what sensors (id to file, in Hz) told during the inferences, in kHz; None when there is too little."""
    began, over = moment(answer, "began"), moment(answer, "over")
    if not clocks or began is None or over is None:
        return None
    samples = read_samples(answer.files.get("samples", b""), len(clocks))
    inside = [each for each in samples if began <= each.t_ns <= over]
    kilohertz = [
        each.model_copy(update={"values": tuple(None if v is None else v // 1000 for v in each.values)})
        for each in inside
    ]
    return SensorTrace(sensors=tuple(clocks), samples=tuple(kilohertz)) if kilohertz else None


def moment(answer: Answer, name: str) -> int | None:
    """Return a moment that a job told, in ns since the start of the device."""
    return _ns(answer.values[name]) if answer.number(name) is not None else None


def _ns(seconds: str) -> int:
    whole, _, rest = seconds.partition(".")
    return int(whole) * 10**9 + int((rest + "0" * 9)[:9])


def _integer(word: bytes) -> int | None:
    return int(word) if re.fullmatch(rb"-?\d{1,18}", word) else None
