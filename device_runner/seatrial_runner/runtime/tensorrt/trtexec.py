"""Runs by NVIDIA's own trtexec: nothing of ours needs to be installed on the device.

A latency run is two calls, each a fresh process. The first is cold: it makes a few queries without warm-up, tells what
loading and the first inference take, and its outputs are compared with the golden ones. The second is warm and timed,
and its outputs are compared, too. Latency is the GPU's time by its own events; see `commands.QuerySettings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...enginebuild import ENGINE_BUILD_FILE, read_engine_build
from ...records import AgentFailure, AgentResult, ArmResult, Build, BundleName, DeviceState, Evicted, Memory, RunKind
from ...run import RunRequest
from .build import Builder
from .calls import ArmFiles, Measured, QueryFailedError, Way, ask
from .commands import Query, QuerySettings
from .energy import duration_s, read_windows
from .identity import Identity
from .profiling import promise, read_profile
from .sampling import during

COLD_QUERIES = 3
STAND_IN = "stand-in trtexec"
# What TensorRT says of an engine that another version, GPU or platform built: then it is built anew.
FOREIGN = re.compile(
    r"expecting library version|Version tag does not match|stdVersionRead|not compatible with this version"
    r"|generated on an incompatible device|platform(s)? (mismatch|does not match)|Platform specific tag mismatch"
    r"|different models of devices",
    re.IGNORECASE,
)


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
        """Return why there are no duets, and no runs that last or that take many inputs."""
        reasons: dict[RunKind, str] = {
            "duet": "trtexec holds one engine at a time; with `runner: python` for the device, one process holds both",
            "sustained": "trtexec tells no time of day of an inference; `runner: python` for the device does",
            "evaluate": "trtexec takes one input per process; `runner: python` for the device takes many",
        }
        return reasons.get(kind, "")

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

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Return None: nothing of ours there can ask the kernel for it."""
        return None

    def close(self) -> None:
        """Do nothing: engines stay for the next session."""

    def _once(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        makers = {"memory": self._memory, "energy": self._energy, "profile": self._profile, "cold": self._cold_run}
        return makers.get(request.kind, self._latency)(request, arm)

    def _latency(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        cold, failed = self._checked(request, arm)
        if failed:
            return failed
        warm = ask(self.builder, request, arm, self._warm(request, _typical(cold)), Way(clock=self.identity.gpu_clock))
        timed = ArmResult(
            session_ns=_load_ns(cold),
            first_ns=cold.times.latency_ns[0],
            warmup_iterations=0,  # by time alone
            checks=warm.checks,
            wall_ns=warm.times.latency_ns,
            gpu_ns=warm.times.compute_ns,
            h2d_ns=warm.times.h2d_ns if self.query.transfers else (),
            d2h_ns=warm.times.d2h_ns if self.query.transfers else (),
        )
        return self._result(warm, timed, sensors=during(warm.answer, _clocks(self.identity)))

    def _cold_run(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        cold, failed = self._checked(request, arm)
        return failed or self._result(cold, _untimed(cold))

    def _memory(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        query = self._query(request.plan.memory_iterations, 0, self.query)
        asked = ask(self.builder, request, arm, query, Way(watched=True))
        memory = Memory(
            hwm_reset=False,
            system_peak_delta=asked.answer.peak_delta,
            engine_bytes=arm.engine.build.size_bytes,
            scratch_bytes=asked.report.bytes_of("scratch_mib"),
        )
        return self._result(asked, _untimed(asked), memory=memory)

    def _energy(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        cold, failed = self._checked(request, arm)
        if failed:
            return failed
        window, files = request.plan.energy_window_ns, request.counters
        query = replace(self._warm(request, _typical(cold)), duration_s=duration_s(window), iterations=1)
        asked = ask(self.builder, request, arm, query, Way(meter=files, window_ns=window, period_ns=request.sample_ns))
        windows = read_windows(asked.answer, asked.report, files, query.warmup_ms)
        return self._result(asked, _untimed(cold), energy=windows)

    def _profile(self, request: RunRequest, arm: ArmFiles) -> AgentResult:
        query = self._query(request.plan.memory_iterations, 200, self.query)
        asked = ask(self.builder, request, arm, replace(query, profile="profile.json", layers="layers.json"), Way())
        kept = read_engine_build(arm.bundle.file(ENGINE_BUILD_FILE)).kept_float
        files = asked.answer.files
        layers = read_profile(
            files.get("profile.json", b""), files.get("layers.json", b""), promise(arm.bundle.manifest.precision, kept)
        )
        return self._result(asked, _untimed(asked).model_copy(update={"layers": layers}))

    def _checked(self, request: RunRequest, arm: ArmFiles) -> tuple[Measured, AgentResult | None]:
        """Make the cold call; the result is there when its outputs are wrong, and nothing more is to be measured.

        It has no CUDA graph: to capture one, trtexec makes a first inference that it does not time.
        """
        cold = ask(self.builder, request, arm, self._query(COLD_QUERIES, 0, replace(self.query, graph=False)), Way())
        return cold, self._result(cold, _untimed(cold)) if cold.wrong else None

    def _warm(self, request: RunRequest, typical_ns: int) -> Query:
        """As many queries as the plan wants, and as its time allows; a warm-up as long as its number of them takes."""
        plan = request.plan
        most = max(1, plan.max_ns // max(1, typical_ns))
        warmup_ns = min(max(plan.warmup_min_ns, plan.warmup_iterations * typical_ns), plan.warmup_max_ns)
        return self._query(min(plan.solo_iterations, most), round(warmup_ns / 1e6), self.query)

    def _query(self, iterations: int, warmup_ms: int, settings: QuerySettings) -> Query:
        return Query("", {}, {}, iterations, warmup_ms, settings)

    def _result(self, asked: Measured, arm: ArmResult, **more: Any) -> AgentResult:
        notes = tuple(text for text in asked.report.warnings if text.startswith("* "))
        found = {"arms": {"a": arm}, "effective": dict(asked.report.settings), "warnings": notes, **more}
        return self._agent(asked.wrong, "check").model_copy(update=found)

    def _failed(self, message: str) -> AgentResult:
        return self._agent(message, "run")

    def _agent(self, problem: str, stage: Literal["check", "run"]) -> AgentResult:
        failed = AgentFailure(stage=stage, kind="device_error", message=problem[:2000]) if problem else None
        return AgentResult(
            agent="trtexec",
            agent_version=str(self.identity.version),
            status="error" if failed else "ok",
            error=failed,
            machine=self.state.machine,
            kernel=self.state.kernel,
            runtime_version=str(self.identity.version),
            stamp=self.stamp(),
        )


def _untimed(asked: Measured) -> ArmResult:
    return ArmResult(
        session_ns=_load_ns(asked), first_ns=asked.times.latency_ns[0], warmup_iterations=0, checks=asked.checks
    )


def _load_ns(asked: Measured) -> int:
    return sum(asked.report.nanoseconds(name) or 0 for name in ("loaded_s", "deserialized_s"))


def _typical(cold: Measured) -> int:
    return min(cold.times.latency_ns[1:] or cold.times.latency_ns)


def _clocks(identity: Identity) -> dict[str, str]:
    return {"frequency:gpu": identity.gpu_clock} if identity.gpu_clock else {}
