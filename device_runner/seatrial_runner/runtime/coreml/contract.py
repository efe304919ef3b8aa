"""What the host asks of the runner for Apple devices, as JSON: the keys and meaning of `seatrial_runner.job`.

    {"schema": "seatrial-apple-job/1", "token": "9f...", "mode": "latency", "first": "a", "placement": true,
     "warmup_iterations": 30, "warmup_min_ns": ..., "warmup_max_ns": ..., "iterations": 200, "max_ns": ...,
     "window_ns": ...,                      energy: idle, burst and idle, each so long
     "arms": {"a": {"model": "a.mlpackage", "compute_units": "ALL",
                    "inputs": [{"name": "x", "dtype": "float16", "shape": [1, 3], "path": "...", "image": "rgb"}],
                    "outputs": [{"name": "y", ..., "tolerance": 0.01}]}}}

The runner answers with one `records.AgentResult` on one line and the end marker, on stdout or in a file: what
`runtime.output.parse_result` reads. Its Swift sources are in `seatrial_runner/apple`; `tests/data/apple` holds vectors
that every implementation has to answer alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from seatrial_targets.errors import BundleError
from seatrial_targets.profile import TargetProfile

from ...manifest import Manifest, TensorEntry
from ...records import AgentResult, ArmName, BundleName, RunKind
from ...run import RunRequest

SCHEMA = "seatrial-apple-job/1"
RUNTIME = "coreml"
KINDS = ("solo", "duet", "memory", "energy")
COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


def arm(manifest: Manifest, profile: TargetProfile, remote: Callable[[str], str]) -> dict[str, Any]:
    """Return how the runner loads and checks a bundle; ``remote`` maps a path in the bundle to one that it can open.

    Raises BundleError for a bundle of another runtime, without outputs, or for compute units that do not exist.
    """
    if manifest.runtime != RUNTIME:
        raise BundleError(f"bundle {manifest.name!r} is for the runtime {manifest.runtime!r}, not for {RUNTIME!r}")
    if not manifest.outputs:
        raise BundleError(f"bundle {manifest.name!r} has no golden outputs to check against; export it again")
    return {
        "model": remote(manifest.artifact),
        "compute_units": compute_units(manifest, profile),
        "inputs": [_tensor(entry, remote) for entry in manifest.inputs],
        "outputs": [_tensor(entry, remote) | {"tolerance": entry.tolerance or 0.0} for entry in manifest.outputs],
    }


def compute_units(manifest: Manifest, profile: TargetProfile) -> str:
    """Return the compute units that the target asks for. Raises BundleError for what Core ML does not have."""
    units = profile.runtime.providers[0] if profile.runtime.providers else "ALL"
    if units not in COMPUTE_UNITS:
        raise BundleError(
            f"bundle {manifest.name!r}: its target asks for the compute units {units!r}; Core ML has "
            + ", ".join(COMPUTE_UNITS)
        )
    return units


def lacks(kind: RunKind) -> str:
    """Return why the runner makes no runs of ``kind``, or an empty string."""
    if kind == "profile":
        return "Core ML tells no times of single operations; where each one runs is told with the solo runs"
    return "" if kind in KINDS else f"the runner for Apple devices makes no {kind} runs"


def render(request: RunRequest, arms: Mapping[BundleName, dict[str, Any]], *, placement: bool) -> bytes:
    """Return the job of one run as the bytes of its file."""
    plan, kind = request.plan, request.kind
    iterations = {"duet": plan.duet_iterations, "memory": plan.memory_iterations}
    units = {"compute_units": plan.compute_units} if plan.compute_units else {}
    made: dict[ArmName, dict[str, Any]] = {name: arms[bundle] | units for name, bundle in request.arms.items()}
    job = {
        "schema": SCHEMA,
        "token": request.token,
        "mode": "latency" if kind in ("solo", "duet") else kind,
        "first": request.first,
        "placement": placement,
        "warmup_iterations": plan.warmup_iterations,
        "warmup_min_ns": plan.warmup_min_ns,
        "warmup_max_ns": plan.duet_warmup_max_ns if kind == "duet" else plan.warmup_max_ns,
        "iterations": iterations.get(kind, plan.solo_iterations),
        "max_ns": plan.max_ns,
        "window_ns": plan.energy_window_ns,
        "arms": made,
    }
    return json.dumps(job, sort_keys=True).encode()


def _tensor(entry: TensorEntry, remote: Callable[[str], str]) -> dict[str, Any]:
    made = {"name": entry.name, "dtype": entry.dtype, "shape": list(entry.golden_shape), "path": remote(entry.golden)}
    # Core ML has no arrays of uint8: such a golden file holds pixels.
    return made | ({"image": "gray" if len(entry.golden_shape) == 2 else "rgb"} if entry.dtype == "uint8" else {})


def judged(result: AgentResult) -> AgentResult:
    """Return a result with what its runner could not know: which settings make runs unlike, and what disturbed it."""
    facts = result.apple
    if facts is None:
        return result
    effective = {"os_build": facts.identity.build, "low_power_mode": _on(facts.before.low_power_mode)}
    warm = {moment.thermal for moment in (facts.before, facts.after) if moment} - {"nominal", None}
    words = tuple(f"thermal state {state}" for state in sorted(map(str, warm)))
    return result.model_copy(
        update={"effective": {**result.effective, **effective}, "warnings": (*result.warnings, *words)}
    )


def _on(value: bool | None) -> str:
    return "unknown" if value is None else "on" if value else "off"
