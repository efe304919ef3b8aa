"""ONNX Runtime on the device, through the agents of `seatrial_runner.agent`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from seatrial_targets.errors import AgentError, BundleError, DeviceError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from ..agent import native_agent, python_agent
from ..bundle import Bundle, sha256_file
from ..condition.finding import Finding
from ..condition.state import read_state
from ..deadline import Deadline
from ..job import ArmJob, Job, Mode, TensorFile
from ..lease import Lease
from ..libraries import find
from ..manifest import Manifest, TensorEntry
from ..pusher import UP, Pusher
from ..records import AgentResult, Build, BundleName, DeviceState, RunKind
from ..run import RunRequest, how_it_ended, run_in_folder
from ..transport.base import Transport
from . import output
from .base import Ground

# What an output may deviate from its golden value (relative L2) when its manifest says nothing: strict, so that an
# exporter that forgot is noticed.
DEFAULT_TOLERANCE = 1e-3
MODES: dict[RunKind, Mode] = {"solo": "latency", "duet": "latency", "memory": "memory", "energy": "energy"}
NEEDED = ("artifact", "golden_input", "golden_output")


class OnnxRuntime:
    """Runs `.onnx` and `.ort` artifacts."""

    name = "onnxruntime"

    def read_state(self, device: Device, transport: Transport, *, brief: bool = False) -> DeviceState:
        """Return the state of the machine that the transport reaches."""
        return read_state(transport, brief=brief)

    def equip(self, ground: Ground) -> OnnxRuntimeAgent:
        """Push agent, library and bundles. Raises BundleError, DeviceErrors."""
        return OnnxRuntimeAgent(
            transport=ground.transport,
            lease=ground.lease,
            library=_library(ground),
            agent=_agent(ground),
            arms={
                name: _pushed(bundle, ground.profiles[name], ground.pusher) for name, bundle in ground.bundles.items()
            },
        )

    def examine(self, device: Device, transport: Transport, state: DeviceState | None) -> tuple[Finding, ...] | None:
        """Return None: the doctor looks at agent and library itself."""
        return None


@dataclass
class OnnxRuntimeAgent:
    """Our agent on the device, with the library and the models that it loads."""

    transport: Transport
    lease: Lease
    library: str
    agent: tuple[str, ...]
    arms: dict[BundleName, ArmJob] = field(default_factory=dict)
    runtime: str = OnnxRuntime.name  # that the agent is to use

    def execute(self, request: RunRequest) -> AgentResult:
        """Run the agent once. See `Equipped.execute`."""
        text = self.job(request).render().encode()
        done = run_in_folder(self.transport, self.lease, self.agent, text, request.plan.run_seconds)
        try:
            return output.parse_result(done.stdout, request.token)
        except AgentError as error:
            raise AgentError(f"{self.transport.name}: {how_it_ended(done)}; {error}") from error

    def job(self, request: RunRequest) -> Job:
        """Return the agent's job for a request."""
        plan, kind = request.plan, request.kind
        iterations = {"duet": plan.duet_iterations, "memory": plan.memory_iterations}
        return Job(
            token=request.token,
            mode=MODES[kind],
            library=self.library,
            runtime=self.runtime,
            arms={arm: self.arms[bundle] for arm, bundle in request.arms.items()},
            threads=plan.threads,
            spin=plan.spin,
            cpus=plan.cpus,
            warmup_iterations=plan.warmup_iterations,
            warmup_min_ns=plan.warmup_min_ns,
            warmup_max_ns=plan.duet_warmup_max_ns if kind == "duet" else plan.warmup_max_ns,
            iterations=iterations.get(kind, plan.solo_iterations),
            max_ns=plan.max_ns,
            first=request.first,
            window_ns=plan.energy_window_ns,
            sample_period_ns=request.sample_ns,
            counters=request.counters,
        )

    def lacks(self, kind: RunKind) -> str:
        """Return an empty string for the kinds of runs that the agents make."""
        return "" if kind in MODES else f"the agents of this version make no {kind} runs"

    def settings(self) -> dict[str, str]:
        """Return which agent and which library run."""
        agent = "native" if len(self.agent) == 1 else "python"
        return {"agent": agent, "library": self.library.removeprefix(UP)}

    def stamp(self) -> str:
        """Return an empty string: what is not real about a device is for its owner to say."""
        return ""

    def builds(self) -> dict[BundleName, Build]:
        """Return nothing: ONNX Runtime loads the artifact as it is."""
        return {}

    def close(self) -> None:
        """Do nothing: what was pushed stays in the cache."""


def arm_job(manifest: Manifest, profile: TargetProfile, remote: Callable[[str], str]) -> ArmJob:
    """Return how the agent loads and checks a bundle made for this runtime.

    ``remote`` maps a POSIX path in the bundle to the path of that file on the device. Raises BundleError when the
    bundle is for another runtime or names no outputs, since then nothing could be checked.
    """
    if manifest.runtime != OnnxRuntime.name:
        raise BundleError(
            f"bundle {manifest.name!r} is for the runtime {manifest.runtime!r}, not for {OnnxRuntime.name!r}"
        )
    if not manifest.outputs:
        raise BundleError(f"bundle {manifest.name!r} has no golden outputs to check against; export it again")
    runtime = profile.runtime
    return ArmJob(
        model=remote(manifest.artifact),
        inputs=tuple(_tensor(entry, remote, None) for entry in manifest.inputs),
        outputs=tuple(_tensor(entry, remote, _tolerance(entry)) for entry in manifest.outputs),
        providers=tuple(runtime.providers),
        optimization=runtime.optimization,
        config={key: str(value) for key, value in runtime.config.items()},
    )


def _pushed(bundle: Bundle, profile: TargetProfile, pusher: Pusher) -> ArmJob:
    remote = {
        entry.path: pusher.push(bundle.file(entry.path), entry.sha256)
        for entry in bundle.manifest.files
        if entry.role in NEEDED
    }
    return arm_job(bundle.manifest, profile, remote.__getitem__)


def _library(ground: Ground) -> str:
    if ground.device.library:
        return ground.device.library
    # One library for all: it must suit every bundle.
    versions = ",".join(filter(None, {p.runtime.versions: 0 for p in ground.profiles.values()}))
    library = find(ground.state.machine, versions)
    return ground.pusher.push(library.path, library.sha256)


def _agent(ground: Ground) -> tuple[str, ...]:
    transport, machine = ground.transport, ground.state.machine
    native = native_agent(machine)
    if native is not None:
        return (ground.pusher.push(native, sha256_file(native), executable=True),)
    has_python = transport.run(["sh", "-c", "command -v python3"], deadline=Deadline.after(30.0)).ok
    if not has_python:
        raise DeviceError(
            f"{transport.name}: there is no agent for {machine} and the device has no python3 for the fallback;"
            " install python3 there, or build an agent (CONTRIBUTING.md, `make agents`)"
        )
    script = python_agent()
    return ("python3", ground.pusher.push(script, sha256_file(script)))


def _tolerance(entry: TensorEntry) -> float:
    return DEFAULT_TOLERANCE if entry.tolerance is None else entry.tolerance


def _tensor(entry: TensorEntry, remote: Callable[[str], str], tolerance: float | None) -> TensorFile:
    return TensorFile(entry.name, entry.dtype, entry.golden_shape, remote(entry.golden), tolerance)
