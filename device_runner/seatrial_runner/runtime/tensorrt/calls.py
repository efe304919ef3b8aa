"""One call of trtexec on the device: its inputs brought into its form, its report and its files read back."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seatrial_targets.errors import AgentError

from ...bundle import Bundle
from ...manifest import TensorEntry
from ...records import OutputCheck
from ...run import RunRequest
from .build import Builder, Engine
from .commands import Query, query_command, require_asked_for
from .energy import energy_body
from .exports import Times, parse_outputs, parse_times
from .job import WATCHED, Answer, command
from .parity import check_outputs
from .report import Report, failure, parse_report
from .sampling import STOP, listened, sampler

CLOCK_PERIOD_S = 0.1
MOST_OUTPUT_BYTES = 512 << 20  # outputs come as decimal text


@dataclass(frozen=True)
class ArmFiles:
    """A bundle on the device: its engine, its golden inputs (tensor to path and bytes of data), shapes that vary."""

    bundle: Bundle
    engine: Engine
    inputs: Mapping[str, tuple[str, int]]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def dtypes(self) -> dict[str, str]:
        """Return the dtypes of the outputs."""
        return {entry.name: entry.dtype for entry in self.bundle.manifest.outputs}


@dataclass
class Measured:
    """One call of trtexec, read."""

    report: Report
    answer: Answer
    times: Times
    checks: tuple[OutputCheck, ...]
    wrong: str


class QueryFailedError(Exception):
    """trtexec ended badly; the message is its own."""


@dataclass(frozen=True)
class Way:
    """What goes on beside a call of trtexec: nothing, a look at the memory, at the GPU's clock, or at a meter."""

    watched: bool = False
    clock: str = ""
    meter: Mapping[str, str] | None = None
    window_ns: int = 0
    period_ns: int = 0

    @property
    def extra_seconds(self) -> float:
        """How much longer than a run it takes."""
        return 3 * self.window_ns / 1e9

    def script(self, words: Sequence[str], cpus: Sequence[int]) -> str:
        """Return sh that calls trtexec so."""
        if self.watched:
            return WATCHED % command(words, "log.txt", cpus)
        if self.meter is not None:
            return energy_body(listened(words, cpus), self.meter, self.window_ns, self.period_ns)
        if self.clock:
            return f"{sampler([self.clock], CLOCK_PERIOD_S)}{listened(words, cpus)}{STOP}"
        return f'{command(words, "log.txt", cpus)}\nvalue code "$code"'


def ask(builder: Builder, request: RunRequest, arm: ArmFiles, query: Query, way: Way) -> Measured:
    """Call trtexec once. Raises QueryFailedError when it ended badly, AgentError for what makes no sense."""
    query = replace(
        query,
        engine=arm.engine.path,
        inputs={name: f"input{index}.bin" for index, name in enumerate(arm.inputs)},
        shapes=arm.shapes,
    )
    words = [builder.identity.trtexec, *query_command(builder.version, query)]
    body = _body(arm, query, way.script(words, request.plan.cpus))
    seconds = request.plan.run_seconds + way.extra_seconds
    ends = request.ends if way.meter is not None else ""  # a run is more than one call, and that is the metered one
    answer = builder.place.run(body, request.token, seconds, ends=ends, max_output=MOST_OUTPUT_BYTES)
    return _read(builder, arm, query, answer)


def _read(builder: Builder, arm: ArmFiles, query: Query, answer: Answer) -> Measured:
    report = parse_report(answer.files.get("log", b""))
    if answer.code != 0 or report.ending != "passed":
        raise QueryFailedError(_why(report, answer))
    if report.stand_in != builder.identity.stand_in:
        raise AgentError(f"{builder.place.transport.name}: another trtexec answers than at the beginning")
    require_asked_for(report, query.settings)
    times = parse_times(answer.files.get(query.times, b""), query.warmup_ms)
    outputs = parse_outputs(answer.files.get(query.outputs, b""), arm.dtypes)
    return Measured(report, answer, times, *check_outputs(arm.bundle, outputs))


def input_files(bundle: Bundle, pushed: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return where each input's .npy lies on the device, by its path in the bundle, and how many bytes its data are."""
    return {entry.name: (pushed[entry.golden], _bytes(entry)) for entry in bundle.manifest.inputs}


def varying_shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    """Return the golden shape of each input of which a dimension varies."""
    varying = [entry for entry in bundle.manifest.inputs if any(isinstance(d, str) for d in entry.shape)]
    return {entry.name: entry.golden_shape for entry in varying}


def _bytes(entry: TensorEntry) -> int:
    return math.prod(entry.golden_shape) * np.dtype(entry.dtype).itemsize


def _body(arm: ArmFiles, query: Query, run: str) -> str:
    """The data of an .npy file is its end; trtexec takes nothing else."""
    files = zip(query.inputs.values(), arm.inputs.values(), strict=True)
    lines = [f"tail -c {size} {shlex.quote(path)} > {name}" for name, (path, size) in files]
    sent = [name for name in (query.times, query.outputs, query.profile, query.layers) if name]
    return "\n".join([*lines, run, "log log log.txt", *(f"send {name} {name}" for name in sent)])


def _why(report: Report, answer: Answer) -> str:
    words = failure(report) or "; ".join(report.warnings[-2:])
    if answer.number("oom_kills") or answer.code == 137:
        return f"trtexec was killed by SIGKILL; was it out of memory?{f' ({words})' if words else ''}"
    if answer.code in (126, 127):
        return f"trtexec could not be started (exit code {answer.code}){f': {words}' if words else ''}"
    return f"trtexec: {words or 'it said nothing of why'} (exit code {answer.code})"
