"""One run: a fresh process on the device, started and read back in a single round trip."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seatrial_targets.errors import DeviceError, DiskFullError, SeatrialError, Status

from .condition.undo import UNDO, failures
from .deadline import Deadline
from .lease import LONGEST_SECONDS, RENEW, Lease, refuse_lost
from .plan import Plan
from .printable import printable
from .records import AgentResult, ArmName, BundleName, Run, RunKind
from .transport.base import Completed, Transport

# The job comes by stdin, the result goes to stdout; the run's folder lives only as long as the script. Blobs are named
# relative to it, so that a root folder with spaces in its name can't break a job's lines.
SCRIPT = (
    "root=$1 mine=$2 seconds=$3 id=$4; shift 4\n"
    + RENEW
    + """
umask 077; mkdir -p "runs/$id" && cd "runs/$id" || exit 76
trap 'cd "$root" && rm -rf "runs/$id"' EXIT
trap 'exit 143' HUP INT TERM
cat > job || exit 77
"$@" job
"""
)

# Around a run beside which a meter's program measures: tells it to stop, so that nobody else has to come for that.
ENDING = 'name=$1; shift; "$@"; code=$?; : > "../../meter.$name.stop"; exit "$code"'

# Kills what earlier runners left behind, removes their folders and half-written files, and takes back what they changed
# on the device; a push that broke off within the last day may still be resumed. Only for who holds the lease.
SWEEP = (
    """
cd "$1" 2>/dev/null || exit 0
rm -f lease.????????????????
rm -rf meter.*.stop blobs/many.*
find blobs -name '*.part*' -mtime +0 -exec rm -f {} + 2>/dev/null
rmdir runs 2>/dev/null
if [ -d runs ]; then
  here=$(pwd -P)
  for p in /proc/[0-9]*; do
    case "$(readlink "$p/cwd" 2>/dev/null)" in "$here"/runs/*) kill -9 "${p#/proc/}" 2>/dev/null;; esac
  done
  rm -rf runs
fi
"""
    + UNDO
)


SWEEP_SECONDS = 120.0


@dataclass(frozen=True)
class RunRequest:
    """What to run, whatever the runtime: its kind, which bundle is which arm, who is first, and the plan's numbers.

    ``token`` is the run's own secret word, by which its output is told from stale or mixed output. ``counters`` are
    the files to read meanwhile (id to path), every ``sample_ns``: a meter's in energy runs.
    """

    kind: RunKind
    arms: Mapping[ArmName, BundleName]
    plan: Plan
    first: ArmName = "a"
    pair: int | None = None
    counters: Mapping[str, str] = field(default_factory=dict)
    sample_ns: int = 100_000_000
    stride: int = 1  # sustained: of so many inferences, one is kept
    feeds: Mapping[str, Path] = field(default_factory=dict)  # evaluate: raw samples of each input, here
    fetches: Mapping[str, Path] = field(default_factory=dict)  # evaluate: where the outputs are to go, here
    samples: int = 0
    ends: str = ""  # energy: the meter's program that measures beside it, see `run_in_folder`
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def seconds(self) -> float:
        """How long the run may take, before it is taken for stuck."""
        return self.plan.run_seconds + self.expected_seconds

    @property
    def expected_seconds(self) -> float:
        """How long what is measured takes at least, as far as the plan tells: for progress."""
        if self.kind == "sustained":
            return self.plan.sustained_ns / 1e9
        return 3 * self.plan.energy_window_ns / 1e9 if self.kind == "energy" else 0


def run_in_folder(
    transport: Transport,
    lease: Lease,
    argv: Sequence[str],
    stdin: bytes,
    seconds: float,
    *,
    files: Sequence[Path] = (),
    ends: str = "",
    max_output: int = 64 << 20,
) -> Completed:
    """Run ``argv`` with the path of a job file as its last word, in a folder that lives as long as the process.

    ``stdin``, and then ``files``, become the job file. The lease is renewed first. When the process has ended, so is
    the meter's program called ``ends``. Raises LeaseHeldError when the lease was taken from us, DiskFullError,
    DeviceError when our folder can't be used, and whatever the transport raises.
    """
    renewed = min(lease.seconds + int(seconds), LONGEST_SECONDS)
    words = ["sh", "-c", SCRIPT, "seatrial", transport.root, lease.token, str(renewed)]
    words += [f"{time.time_ns():x}-{secrets.token_hex(3)}"]
    words += ["sh", "-c", ENDING, "seatrial", ends, *argv] if ends else argv
    done = transport.run(words, deadline=Deadline.after(seconds), stdin=stdin, files=files, max_output=max_output)
    _refuse(done, transport)
    return done


def sweep(transport: Transport) -> tuple[str, ...]:
    """Remove what runs left on the device, processes and folders, and take back what was changed on it.

    Return what could not be taken back. Call only with the lease in hand.
    """
    done = transport.run(["sh", "-c", SWEEP, "seatrial", transport.root], deadline=Deadline.after(SWEEP_SECONDS))
    return tuple(failures(done.stdout))


def record(request: RunRequest, index: int, started_unix_ns: int, outcome: AgentResult | SeatrialError) -> Run:
    """Return the run's record, whether it ended well, badly, or not at all."""
    result = outcome if isinstance(outcome, AgentResult) else None
    status, reason = _ending(outcome)
    return Run(
        index=index,
        kind=request.kind,
        arms=dict(request.arms),
        first=request.first,
        pair=request.pair,
        status=status,
        reason=reason,
        started_unix_ns=started_unix_ns,
        duration_ns=max(0, time.time_ns() - started_unix_ns),
        result=result,
    )


def _ending(outcome: AgentResult | SeatrialError) -> tuple[Status, str]:
    if isinstance(outcome, SeatrialError):
        return outcome.status, str(outcome)[:4000]
    return ("ok", "") if outcome.error is None else (outcome.error.kind, outcome.error.message)


def _refuse(done: Completed, transport: Transport) -> None:
    refuse_lost(done, transport)
    if b"No space left on device" in done.stderr:
        clean = f"`seatrial devices clean {transport.name}`"
        raise DiskFullError(f"{transport.name}: no space left in {transport.root}; free some, or {clean}")
    if done.returncode in (71, 72, 74, 76, 77):
        raise DeviceError(f"{transport.name}: can't use {transport.root}: {printable(done.stderr) or done.returncode}")


def how_it_ended(done: Completed) -> str:
    """Return how a process ended that should have printed a result: by which signal, with which code, what it said."""
    code = done.returncode - 128 if done.returncode > 128 else -done.returncode
    said = printable(done.stderr[-400:])
    tail = f" (it said: {said})" if said else ""
    if 0 < code < 65 and done.returncode not in (126, 127):
        name = signal.Signals(code).name if code in set(signal.Signals) else f"signal {code}"
        why = "; was it out of memory?" if name == "SIGKILL" else ""
        return f"the agent was killed by {name}{why}{tail}"
    if done.returncode in (126, 127):
        return f"the agent could not be started{tail}; is the folder mounted noexec, or the architecture another one?"
    return f"the agent ended with exit code {done.returncode}{tail}"
