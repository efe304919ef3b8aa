"""From a bundle and a request to the job of our agents, for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seatrial_targets.errors import BundleError
from seatrial_targets.profile import TargetProfile

from ..job import ArmJob, Job, Mode, TensorFile
from ..manifest import Manifest, TensorEntry
from ..plan import Plan
from ..records import BundleName, RunKind
from ..run import RunRequest

NAME = "onnxruntime"
# What an output may deviate from its golden value (relative L2) when its manifest says nothing: strict, so that an
# exporter that forgot is noticed.
DEFAULT_TOLERANCE = 1e-3
MODES: dict[RunKind, Mode] = {
    "solo": "latency",
    "duet": "latency",
    "cold": "latency",
    "memory": "memory",
    "energy": "energy",
    "profile": "profile",
    "sustained": "sustained",
    "evaluate": "evaluate",
}


def job_for(request: RunRequest, arms: Mapping[BundleName, ArmJob], library: str, runtime: str = NAME) -> Job:
    """Return the agent's job for a request; ``runtime`` is what the agent is to use."""
    plan, kind = request.plan, request.kind
    cold = kind == "cold"
    return Job(
        token=request.token,
        mode=MODES[kind],
        library=library,
        runtime=runtime,
        arms={arm: arms[bundle] for arm, bundle in request.arms.items()},
        threads=plan.threads,
        spin=plan.spin,
        cpus=plan.cpus,
        warmup_iterations=0 if cold else plan.warmup_iterations,
        warmup_min_ns=0 if cold else plan.warmup_min_ns,
        warmup_max_ns=_longest_warm_up(plan, kind),
        iterations=_iterations(plan, kind),
        max_ns=plan.sustained_ns if kind == "sustained" else plan.max_ns,
        first=request.first,
        window_ns=plan.energy_window_ns,
        sample_period_ns=request.sample_ns,
        counters=request.counters,
        stride=request.stride,
    )


def _longest_warm_up(plan: Plan, kind: RunKind) -> int:
    return {"duet": plan.duet_warmup_max_ns, "cold": 0}.get(kind, plan.warmup_max_ns)


def _iterations(plan: Plan, kind: RunKind) -> int:
    special = {
        "duet": plan.duet_iterations,
        "memory": plan.memory_iterations,
        "cold": plan.cold_iterations,
        "profile": plan.profile_iterations,
        "sustained": plan.sustained_samples,
    }
    return special.get(kind, plan.solo_iterations)


def arm_job(manifest: Manifest, profile: TargetProfile, remote: Callable[[str], str]) -> ArmJob:
    """Return how the agent loads and checks a bundle made for this runtime.

    ``remote`` maps a POSIX path in the bundle to the path of that file on the device. Raises BundleError when the
    bundle is for another runtime or names no outputs, since then nothing could be checked.
    """
    if manifest.runtime != NAME:
        raise BundleError(f"bundle {manifest.name!r} is for the runtime {manifest.runtime!r}, not for {NAME!r}")
    if not manifest.outputs:
        raise BundleError(f"bundle {manifest.name!r} has no golden outputs to check against; export it again")
    runtime = profile.runtime
    return ArmJob(
        model=remote(manifest.artifact),
        inputs=tuple(_tensor(entry, remote, None) for entry in manifest.inputs),
        outputs=tuple(_tensor(entry, remote, _tolerance(entry)) for entry in manifest.outputs),
        providers=tuple(runtime.providers),
        provider_options=runtime.provider_options,
        optimization=runtime.optimization,
        config={key: str(value) for key, value in runtime.config.items()},
    )


def _tolerance(entry: TensorEntry) -> float:
    return DEFAULT_TOLERANCE if entry.tolerance is None else entry.tolerance


def _tensor(entry: TensorEntry, remote: Callable[[str], str], tolerance: float | None) -> TensorFile:
    return TensorFile(entry.name, entry.dtype, entry.golden_shape, remote(entry.golden), tolerance)
