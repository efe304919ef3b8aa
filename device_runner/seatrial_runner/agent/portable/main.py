"""The program: read the job, measure, print the result and its end marker."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
from typing import Any

from . import machine
from .failure import AgentFailureError, text
from .job import Arm, Job
from .measure import Measurement
from .stdout import Stdout

AGENT_VERSION = "2"
_MESSAGE_CHARACTERS = 2048


def main(arguments: list[str]) -> int:
    """Run one job file. Return 0, or 1 when the result is an error."""
    if len(arguments) > 2 and arguments[1] == "--build-engine":
        return build_engine(arguments[2:])
    if len(arguments) == 3 and arguments[1] == "--tensorrt":
        return tell_tensorrt(arguments[2])
    if len(arguments) != 2:
        print("usage: python3 agent.pyz JOBFILE, or --tensorrt LIBCUDART|cuda-python|pycuda|auto", file=sys.stderr)
        return 2
    machine.die_with_parent()
    gc.disable()  # no collection within a timed inference
    out, job = Stdout(), Job()
    run = Measurement(job, out)
    error = attempt(run, arguments[1])
    line = json.dumps(plain(result(run, error)), allow_nan=False)
    out.write(f"{line}\nseatrial-end ".encode() + (job.token or b"-") + b"\n")
    sys.stderr.flush()
    os._exit(1 if error else 0)  # the runtime's threads and destructors have nothing more to say


def build_engine(options: list[str]) -> int:
    """Build an engine of TensorRT, with the options that trtexec has for it."""
    from .trt_build import main as build

    machine.die_with_parent()
    try:
        return build(options)
    except AgentFailureError as failure:
        print(failure, file=sys.stderr)
        return 1


def tell_tensorrt(library: str) -> int:
    """Print what the device has of TensorRT, as JSON, or why it has nothing that can be used."""
    from .trt import identity

    out = Stdout()
    try:
        told: dict[str, Any] = identity(library.encode())
    except AgentFailureError as failure:
        told = {"problem": str(failure)}
    out.write(json.dumps(told).encode() + b"\n")
    sys.stderr.flush()
    os._exit(0)


def attempt(run: Measurement, path: str) -> dict[str, str] | None:
    """Return None, or the failure as `records.AgentFailure`."""
    try:
        run.job.read(path)
        run.run()
        return None
    except AgentFailureError as failure:
        kind, message = failure.kind, str(failure)
    except MemoryError:
        kind, message = "device_error", "out of memory"
    return {"stage": run.stage, "kind": kind, "message": message[:_MESSAGE_CHARACTERS]}


def result(run: Measurement, error: dict[str, str] | None) -> dict[str, Any]:
    """Return `records.AgentResult` as plain data."""
    name, runtime = os.uname(), getattr(run, "runtime", None)
    return {
        "agent": "python",
        "agent_version": AGENT_VERSION,
        "status": "error" if error else "ok",
        "error": error,
        "machine": name.machine,
        "kernel": name.release,
        "runtime_version": runtime.version if runtime else "",
        "dlopen_ns": runtime.dlopen_ns if runtime else None,
        "environment_ns": run.environment_ns,
        "start_ns": run.start_ns,
        "cpus": len(os.sched_getaffinity(0)),
        "threads": run.job.threads,
        **dict(zip(("voluntary_switches", "involuntary_switches", "major_faults"), run.switches)),
        "first_output_ns": run.first_output_ns,
        "cpu_total_ns": time.process_time_ns(),
        "arms": {text(key): arm_result(arm, run.job) for key, arm in run.job.arms.items() if arm.ran},
        "memory": run.memory if "hwm_reset" in run.memory else None,
        "energy": run.energy,
        "sensors": run.sensors,
        "profile": run.profile,
        "evicted": run.evicted,
        **beside(runtime),
    }


def beside(runtime: Any) -> dict[str, Any]:
    """What a runtime tells of how it ran, and what is no real thing."""
    told = {"effective": getattr(runtime, "effective", {}), "stamp": getattr(runtime, "stamp", "")}
    return {key: value for key, value in told.items() if value}


def arm_result(arm: Arm, job: Job) -> dict[str, Any]:
    """Return `records.ArmResult` as plain data."""
    long = {"at_ns": list(arm.at_ns[: arm.samples]), "stride": job.stride} if job.mode == b"sustained" else {}
    counted = {"inferences": arm.inferences} if job.mode in (b"sustained", b"profile") else {}
    return {
        **long,
        **counted,
        "session_ns": arm.session_ns,
        "first_ns": arm.first_ns,
        "warmup_iterations": arm.warmup_iterations,
        "checks": arm.checks,
        "wall_ns": list(arm.wall_ns[: arm.samples]),
        "cpu_ns": list(arm.cpu_ns[: arm.samples]),
        **({"gpu_ns": list(arm.gpu_ns[: arm.samples])} if arm.last_gpu_ns is not None else {}),
    }


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: strings, which the host reads back as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return [plain(item) for item in value]
    return value
