"""Runs by our Python agent with the device's own `tensorrt`: two engines in one process, cold starts, host times.

It needs python3 (3.8 or later), NVIDIA's package tensorrt (JetPack: python3-libnvinfer) and a way to CUDA: libcudart,
which is there already, else cuda-python or pycuda. Engines are the same as for trtexec, and so is their cache.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from seatrial_targets.errors import DeviceError

from ...agent import python_agent
from ...bundle import Bundle, sha256_file
from ...deadline import Deadline
from ...job import ArmJob, TensorFile
from ...printable import printable
from ...records import AgentResult, Build, BundleName, Evicted, RunKind
from ...run import RunRequest
from ...transport.base import Transport
from ..base import Ground
from ..onnxruntime import OnnxRuntimeAgent
from .build import Builder, Engine
from .commands import QuerySettings
from .identity import SECONDS, Identity
from .parity import DEFAULT_TOLERANCE
from .trtexec import FOREIGN, TrtexecRunner
from .version import Version

STAND_IN = "stand-in tensorrt"
AUTO = "auto"


@dataclass(frozen=True)
class PythonFacts:
    """What the device's Python has; ``problem`` says why it has nothing that can be used."""

    version: Version | None = None
    cuda: str = ""  # "libcudart 12.6"
    gpu: str = ""
    capability: str = ""
    sms: int = 0
    stamp: str = ""
    problem: str = ""


def ask_python(transport: Transport, agent: str, library: str) -> PythonFacts:
    """Return what the device's own Python says of TensorRT, in a process of its own: it may die of a missing driver."""
    argv = ["python3", agent, "--tensorrt", library]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=1 << 20)
    if done.returncode == 127:
        return PythonFacts(problem="it has no python3")
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        said = printable(done.stderr, end=True) or f"exit code {done.returncode}"
        return PythonFacts(problem=f"its Python with tensorrt died: {said}")
    return _facts(told)


def _facts(told: dict[str, Any]) -> PythonFacts:
    words = {key: printable(str(told.get(key, "")).encode(), 200) for key in ("tensorrt", "cuda", "gpu", "capability")}
    sms = told.get("sms")
    return PythonFacts(
        version=Version.from_text(words["tensorrt"]),
        cuda=words["cuda"],
        gpu=words["gpu"],
        capability=words["capability"],
        sms=sms if isinstance(sms, int) and 0 <= sms < 65536 else 0,
        stamp=printable(str(told.get("stamp", "")).encode(), 200),
        problem=printable(str(told.get("problem", "")).encode()),
    )


def with_python(identity: Identity, facts: PythonFacts) -> Identity:
    """Return the device's identity by its Python, where there is no trtexec that tells it."""
    version = facts.version.with_build_of(identity.version) if facts.version else None
    return replace(
        identity, version=version, gpu=facts.gpu, capability=facts.capability, sms=facts.sms,
        stand_in=bool(facts.stamp), problem="",
    )  # fmt: skip


@dataclass
class PythonRunner:
    """Our agent with the device's tensorrt, and the engines of one session. See `Equipped`."""

    builder: Builder
    agent: OnnxRuntimeAgent
    bundles: dict[BundleName, Bundle]
    engines: dict[BundleName, Engine]
    facts: PythonFacts
    query: QuerySettings
    profiler: TrtexecRunner | None = None  # where there is a trtexec, it tells the layers

    def execute(self, request: RunRequest) -> AgentResult:
        """Make one run. See `Equipped.execute`."""
        if request.kind == "profile" and self.profiler:
            return self.profiler.execute(request)
        request = replace(request, plan=replace(request.plan, spin=self.query.spin))
        result = self.agent.execute(request)
        if result.error is None or not FOREIGN.search(result.error.message):
            return result
        for name in set(request.arms.values()):
            self._rebuild(name)
        return self.agent.execute(request)

    def lacks(self, kind: RunKind) -> str:
        """Return why runs of a kind can't be made: as the agents' are, but for layers, which trtexec tells."""
        if kind == "profile":
            return "" if self.profiler else "the device has no trtexec, which tells the layers of an engine"
        return self.agent.lacks(kind)

    def settings(self) -> dict[str, str]:
        """Return what runs and how."""
        asked = {name.lower(): value for name, value in self.query.echoed().items()}
        return {"agent": "python", "cuda by": self.facts.cuda, **self.builder.identity.settings(), **asked}

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Return None: the engine is one file among many that a start reads."""
        return None

    def stamp(self) -> str:
        """Return what gave itself away, here and in what builds and profiles."""
        return "; ".join(filter(None, (self.facts.stamp, self.profiler.stamp() if self.profiler else "")))

    def builds(self) -> dict[BundleName, Build]:
        """Return the engines' records."""
        return {name: engine.build for name, engine in self.engines.items()}

    def close(self) -> None:
        """Do nothing: engines stay for the next session."""

    def _rebuild(self, name: BundleName) -> None:
        self.engines[name] = self.builder.ready(self.bundles[name], anew=True)
        self.agent.arms[name] = replace(self.agent.arms[name], model=self.engines[name].path)


def push_agent(ground: Ground) -> str:
    """Bring the Python agent to the device; return its path as a run sees it."""
    script = python_agent()
    return ground.pusher.push(script, sha256_file(script))


def arm_job(ground: Ground, bundle: Bundle, engine: Engine, query: QuerySettings) -> ArmJob:
    """Return how the agent loads and checks one engine; golden files are pushed."""

    def pushed(path: str) -> str:
        return ground.pusher.push(bundle.file(path), bundle.entry(path).sha256)

    tolerances = {e.name: DEFAULT_TOLERANCE if e.tolerance is None else e.tolerance for e in bundle.manifest.outputs}
    tensors = {
        side: tuple(
            TensorFile(e.name, e.dtype, e.golden_shape, pushed(e.golden), tolerances.get(e.name)) for e in entries
        )
        for side, entries in (("inputs", bundle.manifest.inputs), ("outputs", bundle.manifest.outputs))
    }
    options = {"transfers": str(int(query.transfers)), "cuda_graph": str(int(query.graph))}
    return ArmJob(engine.path, tensors["inputs"], tensors["outputs"], config=options)


def require_same_version(identity: Identity, facts: PythonFacts, device: str) -> None:
    """Raise DeviceError when the device's Python has another TensorRT than its trtexec, or none that can be used."""
    if facts.problem:
        raise DeviceError(
            f"{device}: the Python runner can't be used: {facts.problem}; on a Jetson: sudo apt-get install"
            " python3-libnvinfer, or take `runner: python` out of devices.yaml"
        )
    if identity.trtexec and identity.version and facts.version and identity.version[:3] != facts.version[:3]:
        raise DeviceError(
            f"{device}: its Python has TensorRT {facts.version}, its trtexec {identity.version}, and an engine fits one"
            " version only; install one of both"
        )
