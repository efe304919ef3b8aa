"""ONNX Runtime on the device, through the agents of `seatrial_runner.agent`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seatrial_targets.errors import AgentError, DeviceError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from ..agent import native_agent, python_agent
from ..bundle import Bundle, sha256_file
from ..condition.finding import Finding
from ..condition.state import read_state
from ..deadline import Deadline
from ..job import ArmJob, Job
from ..lease import Lease
from ..libraries import find
from ..pusher import UP
from ..records import AgentResult, Build, BundleName, DeviceState, Evicted, RunKind
from ..run import RunRequest, how_it_ended, run_in_folder
from ..transport.base import Completed, Transport
from . import output
from .base import Ground
from .ort_evaluate import Chunk
from .ort_job import MODES, arm_job, job_for
from .ort_profile import promise, read_profile

EVICT_SECONDS = 60.0
NEEDED = ("artifact", "golden_input", "golden_output")


class OnnxRuntime:
    """Runs `.onnx` and `.ort` artifacts."""

    name = "onnxruntime"

    def read_state(self, device: Device, transport: Transport, *, brief: bool = False) -> DeviceState:
        """Return the state of the machine that the transport reaches."""
        return read_state(transport, brief=brief)

    def equip(self, ground: Ground) -> OnnxRuntimeAgent:
        """Push agent, library and bundles. Raises BundleError, DeviceErrors."""
        library, agent = _library(ground), _agent(ground)
        files = dict(pair for bundle in ground.bundles.values() for pair in _files(bundle))
        files |= {path: digest for path, digest in (library, agent) if isinstance(path, Path)}
        native = frozenset({agent[0]}) if agent[0].suffix != ".pyz" else frozenset[Path]()
        there = ground.pusher.push_all(files, executables=native)  # all at once: few round trips
        return OnnxRuntimeAgent(
            transport=ground.transport,
            lease=ground.lease,
            library=there[library[0]] if isinstance(library[0], Path) else library[0],
            agent=(there[agent[0]],) if native else ("python3", there[agent[0]]),
            arms={name: _arm(bundle, ground.profiles[name], there) for name, bundle in ground.bundles.items()},
            promised={name: promise(profile.runtime) for name, profile in ground.profiles.items()},
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
    promised: dict[BundleName, tuple[str, ...]] = field(default_factory=dict)

    def execute(self, request: RunRequest) -> AgentResult:
        """Run the agent once. See `Equipped.execute`."""
        if request.kind == "evaluate":
            return self._evaluate(request)
        text = self.job(request).render().encode()
        done = run_in_folder(self.transport, self.lease, self.agent, text, request.seconds, ends=request.ends)
        return self._understood(self._parsed(done, request.token), request)

    def _evaluate(self, request: RunRequest) -> AgentResult:
        chunk = Chunk(request, self.arms[request.arms["a"]])
        done, outputs = chunk.run(self.transport, self.lease, self.agent, self.job(request))
        result = self._parsed(done, request.token)
        if result.error is None:
            chunk.keep(outputs, self.transport.name)
        return result

    def _parsed(self, done: Completed, token: str) -> AgentResult:
        try:
            return output.parse_result(done.stdout, token)
        except AgentError as error:
            raise AgentError(f"{self.transport.name}: {how_it_ended(done)}; {error}") from error

    def _understood(self, result: AgentResult, request: RunRequest) -> AgentResult:
        """Return the result with the lines of the profiler made into layers."""
        if not result.profile or "a" not in result.arms:
            return result
        arm = result.arms["a"]
        layers = read_profile(result.profile, arm.inferences or 0, self.promised.get(request.arms["a"], ()))
        arms = {**result.arms, "a": arm.model_copy(update={"layers": layers})}
        return result.model_copy(update={"arms": arms, "profile": ()})

    def job(self, request: RunRequest) -> Job:
        """Return the agent's job for a request."""
        return job_for(request, self.arms, self.library, self.runtime)

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Let the kernel forget the library and the files of ``bundle``; None when the agent could not."""
        arm, token = self.arms[bundle], secrets.token_hex(16)
        files = (self.library, arm.model, *(tensor.path for tensor in (*arm.inputs, *arm.outputs)))
        text = Job(token=token, mode="evict", evict=tuple(dict.fromkeys(files))).render().encode()
        done = run_in_folder(self.transport, self.lease, self.agent, text, EVICT_SECONDS)
        return self._parsed(done, token).evicted

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


def _files(bundle: Bundle) -> Iterator[tuple[Path, str]]:
    """Yield what the agent needs of a bundle, with its sha256."""
    for entry in bundle.manifest.files:
        if entry.role in NEEDED:
            yield bundle.file(entry.path), entry.sha256


def _arm(bundle: Bundle, profile: TargetProfile, there: Mapping[Path, str]) -> ArmJob:
    return arm_job(bundle.manifest, profile, lambda name: there[bundle.file(name)])


def _library(ground: Ground) -> tuple[Path | str, str]:
    """Return the library to push and its sha256, or where it is on the device."""
    if ground.device.library:
        return ground.device.library, ""
    # One library for all: it must suit every bundle.
    versions = ",".join(filter(None, {p.runtime.versions: 0 for p in ground.profiles.values()}))
    library = find(ground.state.machine, versions)
    return library.path, library.sha256


def _agent(ground: Ground) -> tuple[Path, str]:
    """Return the agent to push and its sha256: the native one, or that in Python. Raises DeviceError."""
    transport, machine = ground.transport, ground.state.machine
    agent = native_agent(machine)
    if agent is None:
        agent = python_agent()
        if not transport.run(["sh", "-c", "command -v python3"], deadline=Deadline.after(30.0)).ok:
            raise DeviceError(
                f"{transport.name}: there is no agent for {machine} and the device has no python3 for the fallback;"
                " install python3 there, or build an agent (CONTRIBUTING.md, `make agents`)"
            )
    return agent, sha256_file(agent)
