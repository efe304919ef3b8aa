"""The runtime `tensorrt`: find out what the device is, build what is missing, and hand over to who makes the runs."""

from __future__ import annotations

from seatrial_targets.errors import BundleError, DeviceError, UserError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from ...bundle import Bundle
from ...condition.finding import Finding
from ...condition.state import read_state
from ...libraries import satisfies
from ...plan import Event
from ...pusher import UP
from ...records import DeviceState
from ...transport.base import Transport
from ..base import Equipped, Ground
from ..onnxruntime import OnnxRuntimeAgent
from .build import Builder, Engine
from .calls import ArmFiles, input_files, varying_shapes
from .commands import QuerySettings
from .doctor import examine, why_not
from .identity import Identity, identify
from .job import Place
from .python_runner import (
    AUTO,
    PythonRunner,
    arm_job,
    ask_python,
    push_agent,
    require_same_version,
    with_python,
)
from .trtexec import TrtexecRunner

NAME = "tensorrt"
# Settings of queries that a target may have in `runtime: config:`.
OPTIONS = {"transfers": "transfers", "cuda_graph": "graph"}


class TensorRt:
    """Runs bundles with an ONNX file and a record of how to build an engine of it."""

    name = NAME

    def read_state(self, device: Device, transport: Transport, *, brief: bool = False) -> DeviceState:
        """Return the state of the machine that the transport reaches."""
        return read_state(transport, brief=brief)

    def examine(self, device: Device, transport: Transport, state: DeviceState | None) -> tuple[Finding, ...] | None:
        """Return what the device has of TensorRT, or in plain words that there is none for it."""
        return examine(device, transport, state) if state else None

    def equip(self, ground: Ground) -> Equipped:
        """Build the engines, or find them built. Raises BundleError, UserError, DeviceErrors."""
        _require_ours(ground)
        ground.pusher.on_event(Event("asking for TensorRT and the GPU"))
        identity = identify(ground.transport, ground.device.trtexec or "")
        if ground.device.runner == "python":
            return _python_runner(ground, identity)
        require_usable(identity, ground)
        builder = _builder(ground, identity, (identity.trtexec,))
        arms = {name: _arm_files(ground, bundle, builder.ready(bundle)) for name, bundle in ground.bundles.items()}
        return TrtexecRunner(builder, ground.state, arms, _query(ground))


def _python_runner(ground: Ground, identity: Identity) -> PythonRunner:
    agent, library = push_agent(ground), ground.device.library or AUTO
    facts = ask_python(ground.transport, f"{ground.transport.root}/{agent.removeprefix(UP)}", library)
    require_same_version(identity, facts, ground.transport.name)
    program: tuple[str, ...] = (identity.trtexec,)
    if not identity.trtexec or identity.problem:
        identity, program = with_python(identity, facts), ("python3", agent, "--build-engine")
    require_version(identity, ground)
    builder = _builder(ground, identity, program)
    engines = {name: builder.ready(bundle) for name, bundle in ground.bundles.items()}
    query = _query(ground)
    arms = {name: arm_job(ground, bundle, engines[name], query) for name, bundle in ground.bundles.items()}
    made = OnnxRuntimeAgent(ground.transport, ground.lease, library, ("python3", agent), arms, NAME)
    profiler = None
    if program == (identity.trtexec,):
        files = {name: _arm_files(ground, bundle, engines[name]) for name, bundle in ground.bundles.items()}
        profiler = TrtexecRunner(builder, ground.state, files, query)
    return PythonRunner(builder, made, dict(ground.bundles), engines, facts, query, profiler)


def _builder(ground: Ground, identity: Identity, program: tuple[str, ...]) -> Builder:
    place, pusher = Place(ground.transport, ground.lease), ground.pusher
    return Builder(place, pusher, identity, ground.state, pusher.on_event, program)


def _query(ground: Ground) -> QuerySettings:
    return query_settings(next(iter(ground.profiles.values())))


def query_settings(profile: TargetProfile) -> QuerySettings:
    """Return how a target wants queries made. Raises UserError for an option or a value that there is not."""
    runtime, found = profile.runtime, {"spin": profile.runtime.spin}
    for key, value in runtime.config.items():
        if key not in OPTIONS or value not in ("0", "1"):
            known = f"TensorRT has {' and '.join(OPTIONS)}, each 0 or 1"
            raise UserError(f"target {profile.name}: runtime: config: {key}: {value}: {known}")
        found[OPTIONS[key]] = value == "1"
    return QuerySettings(**found)


def require_usable(identity: Identity, ground: Ground) -> None:
    """Raise DeviceError, saying what helps, when the device has no TensorRT that works; UserError when another."""
    problem = why_not(identity, ground.state)
    if problem:
        raise DeviceError(f"{ground.transport.name}: {problem}")
    require_version(identity, ground)


def require_version(identity: Identity, ground: Ground) -> None:
    """Raise UserError when a target is for other versions of TensorRT than the device has."""
    for profile in ground.profiles.values():
        if not satisfies(str(identity.version), profile.runtime.versions):
            raise UserError(
                f"{ground.transport.name} has TensorRT {identity.version}, and target {profile.name} is for"
                f" {profile.runtime.versions}; export for a target that it fits (`seatrial targets list`)"
            )


def _require_ours(ground: Ground) -> None:
    for bundle in ground.bundles.values():
        manifest = bundle.manifest
        if manifest.runtime != NAME:
            raise BundleError(f"bundle {manifest.name!r} is for the runtime {manifest.runtime!r}, not for {NAME!r}")
        if not manifest.outputs:
            raise BundleError(f"bundle {manifest.name!r} has no golden outputs to check against; export it again")


def _arm_files(ground: Ground, bundle: Bundle, engine: Engine) -> ArmFiles:
    inputs = [bundle.entry(entry.golden) for entry in bundle.manifest.inputs]
    pushed = {entry.path: ground.pusher.push(bundle.file(entry.path), entry.sha256) for entry in inputs}
    return ArmFiles(bundle, engine, input_files(bundle, pushed), varying_shapes(bundle))
