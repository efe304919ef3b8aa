"""Runs by NVIDIA's own trtexec: nothing of ours needs to be installed on the device.

A latency run is two calls, each a fresh process. The first is cold: it makes a few queries without warm-up, tells what
loading and the first inference take, and its outputs are compared with the golden ones. The second is warm and timed,
and its outputs are compared, too. Latency is the GPU's time by its own events; see `commands.QuerySettings`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seatrial_targets.errors import AgentError

from ...bundle import Bundle
from ...manifest import TensorEntry
from ...records import (
    AgentFailure,
    AgentResult,
    ArmResult,
    Build,
    BundleName,
    DeviceState,
    Memory,
    OutputCheck,
    RunKind,
)
from ...run import RunRequest
from .build import Builder, Engine
from .commands import Query, QuerySettings, query_command, require_asked_for
from .exports import Times, parse_outputs, parse_times
from .identity import Identity
from .job import WATCHED, Answer, command
from .parity import check_outputs
from .report import Report, failure, parse_report

COLD_QUERIES = 3
MOST_OUTPUT_BYTES = 512 << 20  # outputs come as decimal text
STAND_IN = "stand-in trtexec"
# What TensorRT says of an engine that another version, GPU or platform built: then it is built anew.
FOREIGN = re.compile(
    r"expecting library version|Version tag does not match|stdVersionRead|not compatible with this version"
    r"|generated on an incompatible device|platform(s)? (mismatch|does not match)|Platform specific tag mismatch"
    r"|different models of devices",
    re.IGNORECASE,
)


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


@dataclass
class TrtexecRunner:
    """trtexec on the device, with the engines of one session. See `Equipped`."""

    builder: Builder
    state: DeviceState
    arms: dict[BundleName, ArmFiles]
    query: QuerySettings = field(default_factory=QuerySettings)

    @property
    def identity(self) -> Identity:
        """Return what the device is."""
        return self.builder.identity

    def execute(self, request: RunRequest) -> AgentResult:
        """Make one run. See `Equipped.execute`."""
        name = request.arms["a"]
        try:
            return self._once(request, self.arms[name])
        except QueryFailedError as error:
            if not FOREIGN.search(str(error)):
                return self._failed(str(error))
        # Its key was right, but it was not: the version that the device tells has no build number, for one.
        engine = self.builder.ready(self.arms[name].bundle, anew=True)
        self.arms[name] = replace(self.arms[name], engine=engine)
        try:
            return self._once(request, self.arms[name])
        except QueryFailedError as error:
            return self._failed(f"a fresh engine can't be used either: {error}")

    def lacks(self, kind: RunKind) -> str:
        """Return why there are no duets, and no energy by this way."""
        if kind == "duet":
            return "trtexec holds one engine at a time; with `runner: python` for the device, one process holds both"
        return ""

    def settings(self) -> dict[str, str]:
        """Return what runs and how."""
        asked = {name.lower(): value for name, value in self.query.echoed().items()}
        return {"agent": "trtexec", "trtexec": self.identity.trtexec, **self.identity.settings(), **asked}

    def stamp(self) -> str:
        """Return what gave itself away."""
        return STAND_IN if self.identity.stand_in else ""

    def builds(self) -> dict[BundleName, Build]:
        """Return the engines' records."""
        return {name: arm.engine.build for name, arm in self.arms.items()}

    def close(self) -> None:
        """Do nothing: engines stay for the next session."""

    def _once(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        if request.kind == "memory":
            return self._memory(request, arm)
        cold = self._ask(request, arm, self._cold())
        if cold.wrong:
            return self._result(cold, cold, error=cold.wrong)
        typical_ns = min(cold.times.latency_ns[1:] or cold.times.latency_ns)
        warm = self._ask(request, arm, self._warm(request, typical_ns))
        return self._result(cold, warm, error=warm.wrong)

    def _cold(self) -> Query:
        # Without a CUDA graph: to capture one, trtexec makes a first inference that it does not time.
        return self._query(COLD_QUERIES, 0, replace(self.query, graph=False))

    def _warm(self, request: RunRequest, typical_ns: int) -> Query:
        """As many queries as the plan wants, and as its time allows; a warm-up as long as its number of them takes."""
        plan = request.plan
        most = max(1, plan.max_ns // max(1, typical_ns))
        warmup_ns = min(max(plan.warmup_min_ns, plan.warmup_iterations * typical_ns), plan.warmup_max_ns)
        return self._query(min(plan.solo_iterations, most), round(warmup_ns / 1e6), self.query)

    def _query(self, iterations: int, warmup_ms: int, settings: QuerySettings) -> Query:
        return Query("", {}, {}, iterations, warmup_ms, settings)

    def _ask(self, request: RunRequest, arm: ArmFiles, query: Query, *, watched: bool = False) -> Measured:
        query = replace(
            query,
            engine=arm.engine.path,
            inputs={name: f"input{index}.bin" for index, name in enumerate(arm.inputs)},
            shapes=arm.shapes,
        )
        body = _body(self.builder, arm, query, request.plan.cpus, watched=watched)
        seconds = request.plan.run_seconds
        answer = self.builder.place.run(body, request.token, seconds, max_output=MOST_OUTPUT_BYTES)
        return self._read(arm, query, answer)

    def _read(self, arm: ArmFiles, query: Query, answer: Answer) -> Measured:
        report = parse_report(answer.files.get("log", b""))
        if answer.code != 0 or report.ending != "passed":
            raise QueryFailedError(_why(report, answer))
        if report.stand_in != self.identity.stand_in:
            raise AgentError(f"{self.builder.place.transport.name}: another trtexec answers than at the beginning")
        require_asked_for(report, query.settings)
        times = parse_times(answer.files.get(query.times, b""), query.warmup_ms)
        outputs = parse_outputs(answer.files.get(query.outputs, b""), arm.dtypes)
        return Measured(report, answer, times, *check_outputs(arm.bundle, outputs))

    def _memory(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        query = self._query(request.plan.memory_iterations, 0, self.query)
        asked = self._ask(request, arm, query, watched=True)
        memory = Memory(
            baseline_rss=None, peak_load=None, peak_inference=None, pss=None, hwm_reset=False,
            system_peak_delta=asked.answer.peak_delta, engine_bytes=arm.engine.build.size_bytes,
            scratch_bytes=asked.report.bytes_of("scratch_mib"),
        )  # fmt: skip
        return self._result(asked, asked, error=asked.wrong).model_copy(update={"memory": memory})

    def _result(self, cold: Measured, warm: Measured, error: str) -> AgentResult:
        report, times = warm.report, warm.times
        loads = [cold.report.nanoseconds(name) or 0 for name in ("loaded_s", "deserialized_s")]
        timed = cold is not warm
        arm = ArmResult(
            session_ns=sum(loads),
            first_ns=cold.times.latency_ns[0],
            warmup_iterations=0,  # by time alone
            checks=warm.checks,
            wall_ns=times.latency_ns if timed else (),
            gpu_ns=times.compute_ns if timed else (),
            h2d_ns=times.h2d_ns if timed and self.query.transfers else (),
            d2h_ns=times.d2h_ns if timed and self.query.transfers else (),
        )
        notes = tuple(text for text in report.warnings if text.startswith("* "))
        return self._agent("ok" if not error else "error", error, "check").model_copy(
            update={"arms": {"a": arm}, "effective": dict(report.settings), "warnings": notes}
        )

    def _failed(self, message: str) -> AgentResult:
        return self._agent("error", message, "run")

    def _agent(self, status: str, message: str, stage: str) -> AgentResult:
        failed: Any = AgentFailure(stage=stage, kind="device_error", message=message[:2000]) if message else None  # type: ignore[arg-type]
        return AgentResult(
            agent="trtexec",
            agent_version=str(self.identity.version),
            status=status,  # type: ignore[arg-type]
            error=failed,
            machine=self.state.machine,
            kernel=self.state.kernel,
            runtime_version=str(self.identity.version),
            stamp=self.stamp(),
        )


def input_files(bundle: Bundle, pushed: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Return where each input's .npy lies on the device, by its path in the bundle, and how many bytes its data are."""
    return {entry.name: (pushed[entry.golden], _bytes(entry)) for entry in bundle.manifest.inputs}


def varying_shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    """Return the golden shape of each input of which a dimension varies."""
    varying = [entry for entry in bundle.manifest.inputs if any(isinstance(d, str) for d in entry.shape)]
    return {entry.name: entry.golden_shape for entry in varying}


def _bytes(entry: TensorEntry) -> int:
    import math

    import numpy as np

    return math.prod(entry.golden_shape) * np.dtype(entry.dtype).itemsize


def _body(builder: Builder, arm: ArmFiles, query: Query, cpus: tuple[int, ...], *, watched: bool) -> str:
    """The data of an .npy file is its end; trtexec takes nothing else."""
    files = zip(query.inputs.values(), arm.inputs.values(), strict=True)
    lines = [f"tail -c {size} {shlex.quote(path)} > {name}" for name, (path, size) in files]
    run = command([builder.identity.trtexec, *query_command(builder.version, query)], "log.txt", cpus)
    lines.append(WATCHED % run if watched else f'{run}\nvalue code "$code"')
    sent = {"times": query.times, "outputs": query.outputs, "profile": query.profile, "layers": query.layers}
    lines += ["log log log.txt", *(f"send {file} {file}" for file in sent.values() if file)]
    return "\n".join(lines)


def _why(report: Report, answer: Answer) -> str:
    words = failure(report) or "; ".join(report.warnings[-2:])
    if answer.number("oom_kills") or answer.code == 137:
        return f"trtexec was killed by SIGKILL; was it out of memory?{f' ({words})' if words else ''}"
    if answer.code in (126, 127):
        return f"trtexec could not be started (exit code {answer.code}){f': {words}' if words else ''}"
    return f"trtexec: {words or 'it said nothing of why'} (exit code {answer.code})"
