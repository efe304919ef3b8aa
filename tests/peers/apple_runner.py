"""A stand-in for the runner on Apple devices: the whole contract, without Core ML. Its results are stamped "stand-in".

    apple_runner.py JOB            one run in the present folder, as `seatrial-apple JOB`
    apple_runner.py --identify
    apple_runner.py --vector DIR   a vector of the contract, on a made-up device; as `seatrial-vectors DIR`

Outputs are what `STAND_IN_OUTPUTS` names: "golden" repeats the golden files (so that only the way there and back is
tested), "wrong" departs from them, "evaluated" executes the package with Seatrial's evaluator. Times measure nothing.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

SCHEMA = "seatrial-apple-job/1"
KEYS = {"schema", "token", "mode", "arms", "first", "placement", "iterations", "max_ns", "window_ns"} | {
    f"warmup_{name}" for name in ("iterations", "min_ns", "max_ns")
}
UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
DTYPES = {"float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}


class FailedError(Exception):
    def __init__(self, stage: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.stage, self.kind = stage, kind


class Device:
    """A stand-in device that reads files in the present folder."""

    identity: ClassVar[dict[str, str]] = {"model": "iPhone99,1", "os": "iOS 99.0", "build": "99A1"}
    stamp = "stand-in for an Apple device"
    start_ns: int | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, arm: dict[str, Any]) -> tuple[Model, int | None, int]:
        if not (self.folder / arm["model"]).exists():
            raise FailedError("session", "user_error", f"{arm['model']} is not there")
        return Model(self, arm), 1000, 1000

    def now(self) -> int:
        return time.monotonic_ns()

    def cpu(self) -> int:
        return time.process_time_ns()

    def unix(self) -> int:
        return time.time_ns()

    def sleep(self, ns: int) -> None:
        time.sleep(ns / 1e9)

    def footprint(self) -> int | None:
        return 50_000_000

    def moment(self) -> dict[str, Any]:
        thermal = os.environ.get("STAND_IN_THERMAL", "nominal")
        return {"thermal": thermal, "low_power_mode": False, "battery_level": 0.8, "charging": False}

    def placement(self, arm: dict[str, Any]) -> list[dict[str, Any]] | None:
        return None

    def started(self) -> int | None:
        return None


class Model:
    def __init__(self, device: Device, arm: dict[str, Any]) -> None:
        self.device, self.arm = device, arm

    def predict(self) -> None:
        for spec in self.arm["inputs"]:
            tensor(self.device, spec)

    def outputs(self) -> dict[str, list[float]]:
        how = os.environ.get("STAND_IN_OUTPUTS", "golden")
        if how == "evaluated":
            return self.evaluated()
        shift = 1.0 if how == "wrong" else 0.0
        return {spec["name"]: (tensor(self.device, spec) + shift).tolist() for spec in self.arm["outputs"]}

    def evaluated(self) -> dict[str, list[float]]:
        from seatrial.verify.coreml.session import PackageSession

        folder = self.device.folder
        inputs = {spec["name"]: np.load(folder / spec["path"], allow_pickle=False) for spec in self.arm["inputs"]}
        found = PackageSession(folder / self.arm["model"]).run(inputs)
        return {name: array.astype(np.float64).ravel().tolist() for name, array in found.items()}


class MadeDevice(Device):
    """The device that a vector describes: its clock moves only when the vector says so."""

    identity: ClassVar[dict[str, str]] = {"model": "Made1,1", "os": "made 1.0", "build": "1A1"}
    stamp = "contract vector"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.vector = json.loads((folder / "vector.json").read_text())
        self.at = self.inferences = 0
        self.footprints = iter(self.vector.get("footprints", ()))

    def load(self, arm: dict[str, Any]) -> tuple[Model, int | None, int]:
        made = self.vector["models"].get(arm["model"])
        if made is None:
            raise FailedError("session", "user_error", f"{arm['model']} is not there")
        self.at += made.get("compile_ns", 0) + made["load_ns"]
        return MadeModel(self, made), made.get("compile_ns"), made["load_ns"]

    def now(self) -> int:
        return self.at

    def cpu(self) -> int:
        return self.at // 2

    def unix(self) -> int:
        return self.at + 10**12

    def sleep(self, ns: int) -> None:
        self.at += ns

    def footprint(self) -> int | None:
        return next(self.footprints, None)

    def moment(self) -> dict[str, Any]:
        hot = self.inferences >= self.vector.get("hot_after_inferences", math.inf)
        state = "serious" if hot else "nominal"
        return {"thermal": state, "low_power_mode": False, "battery_level": 0.5, "charging": False}

    def placement(self, arm: dict[str, Any]) -> list[dict[str, Any]] | None:
        return self.vector.get("placement")

    def started(self) -> int | None:
        return self.at


class MadeModel(Model):
    def __init__(self, device: MadeDevice, made: dict[str, Any]) -> None:
        self.made, self.count, self.of = made, 0, device

    def predict(self) -> None:
        self.of.at += self.made["durations_ns"][self.count % len(self.made["durations_ns"])]
        self.count += 1
        self.of.inferences += 1

    def outputs(self) -> dict[str, list[float]]:
        return {name: [float(value) for value in values] for name, values in self.made["outputs"].items()}


def tensor(device: Device, spec: dict[str, Any]) -> np.ndarray:
    path = device.folder / spec["path"]
    if not path.exists():
        raise FailedError("input", "harness_error", f"'{spec['name']}': {spec['path']} can't be read")
    found = np.load(path, allow_pickle=False)
    shape = tuple(spec["shape"])
    if found.dtype != spec["dtype"] or found.shape != shape:
        words = f"{spec['path']}: does not hold {spec['dtype']} of shape {shape} in C order"
        raise FailedError("input", "harness_error", f"'{spec['name']}': {words}")
    return found.astype(np.float64).ravel()


def read_job(text: str) -> dict[str, Any]:
    try:
        job = json.loads(text)
    except ValueError:
        job = None
    if not isinstance(job, dict):
        raise FailedError("job", "harness_error", "the job file is not a JSON object; it was not sent whole")
    if job.get("schema") != SCHEMA:
        words = f"the job file is not of schema {SCHEMA}; host and runner differ in version"
        raise FailedError("job", "harness_error", words)
    if strange := sorted(set(job) - KEYS):
        raise FailedError(
            "job", "harness_error", f"job file: unknown key '{strange[0]}'; host and runner differ in version"
        )
    if any(arm["compute_units"] not in UNITS for arm in job["arms"].values()):
        raise FailedError("job", "harness_error", "job file: unknown compute units")
    return job


class Measurement:
    """One run. The order of steps is that of `Measurement.swift`."""

    def __init__(self, device: Device) -> None:
        self.device, self.token = device, "-"
        self.models: dict[str, Model] = {}
        self.result: dict[str, Any] = {"agent": "apple", "agent_version": "1", "status": "ok", "arms": {}}
        self.result |= {"machine": "", "kernel": "", "runtime_version": "", "stamp": ""}

    def attempt(self, text: str) -> bytes:
        try:
            self.job = read_job(text)
            self.token = self.job["token"]
            self.run()
        except FailedError as failed:
            error = {"stage": failed.stage, "kind": failed.kind, "message": str(failed)}
            self.result |= {"status": "error", "error": error}
        if "apple" in self.result:
            self.result["apple"]["after"] = self.device.moment()
        return f"{json.dumps(plain(self.result), sort_keys=True)}\nseatrial-end {self.token}\n".encode()

    def run(self) -> None:
        identity = self.device.identity
        self.result |= {"machine": identity["model"], "kernel": identity["build"], "runtime_version": identity["os"]}
        self.result["stamp"] = self.device.stamp
        apple = {"identity": identity, "before": self.device.moment(), "placement_problem": ""}
        self.result["apple"] = apple
        self.require_cool("before the run")
        if self.job["mode"] == "memory":
            self.result["memory"] = {"measure": "phys_footprint", "hwm_reset": False}
            self.result["memory"]["baseline_rss"] = self.device.footprint()
        for name in self.order():
            self.prepare(name)
        {"memory": self.memory, "energy": self.energy}.get(self.job["mode"], self.latency)()
        self.note_placement()

    def order(self) -> list[str]:
        return sorted(self.job["arms"], key=lambda name: (name != self.job["first"], name))

    def prepare(self, name: str) -> None:
        arm = self.job["arms"][name]
        for spec in arm["inputs"]:
            tensor(self.device, spec)
        self.models[name], compile_ns, load_ns = self.device.load(arm)
        first = self.timed(name)
        if "start_ns" not in self.result and (started := self.device.started()) is not None:
            self.result["start_ns"] = started
        if self.job["mode"] == "memory":
            self.result["memory"]["peak_load"] = self.device.footprint()
        made = {"session_ns": load_ns, "first_ns": first, "warmup_iterations": 0, "checks": []}
        self.result["arms"][name] = made | {"wall_ns": [], "cpu_ns": []}
        if compile_ns is not None:
            self.result["arms"][name]["compile_ns"] = compile_ns
        self.check(name, arm)

    def check(self, name: str, arm: dict[str, Any]) -> None:
        outputs = self.models[name].outputs()
        for spec in arm["outputs"]:
            if spec["name"] not in outputs:
                words = f"the model has no output '{spec['name']}'; it has: {', '.join(sorted(outputs))}"
                raise FailedError("check", "user_error", words)
            golden = tensor(self.device, spec).tolist()
            self.result["arms"][name]["checks"].append(compare(spec, outputs[spec["name"]], golden))
        for made in self.result["arms"][name]["checks"]:
            if not made["ok"]:
                raise FailedError("check", "device_error", explanation(made, len(golden)))

    def round(self) -> list[str]:
        order = self.order()
        return order if len(order) == 1 else [order[0], order[1], order[1], order[0]]

    def timed(self, name: str) -> int:
        begin = self.device.now()
        self.models[name].predict()
        return self.device.now() - begin

    def warm_up(self) -> None:
        averages = {name: Averages() for name in self.order()}
        begin, passed = self.device.now(), 0
        while passed < self.job["warmup_max_ns"]:
            warm = all(each.agree(self.job["warmup_iterations"]) for each in averages.values())
            if warm and passed >= self.job["warmup_min_ns"]:
                return
            for name in self.round():
                averages[name].update(self.timed(name))
                self.result["arms"][name]["warmup_iterations"] += 1
            passed = self.device.now() - begin

    def latency(self) -> None:
        self.warm_up()
        first = self.result["arms"][self.job["first"]]["wall_ns"]
        wanted = self.job["iterations"] if len(self.round()) == 1 else (self.job["iterations"] + 1) // 2 * 2
        begin = self.device.now()
        while True:
            for name in self.round():
                cpu = self.device.cpu()
                took = self.timed(name)
                self.result["arms"][name]["cpu_ns"].append(self.device.cpu() - cpu)
                self.result["arms"][name]["wall_ns"].append(took)
            self.require_cool(f"after {len(first)} inferences")
            if len(first) >= wanted or self.device.now() - begin >= self.job["max_ns"]:
                return

    def memory(self) -> None:
        begin = self.device.now()
        for _ in range(self.job["iterations"]):
            self.timed("a")
            if self.device.now() - begin >= self.job["max_ns"]:
                break
        self.result["memory"]["peak_inference"] = self.device.footprint()
        self.result["apple"]["available_memory"] = 1 << 30

    def energy(self) -> None:
        self.warm_up()
        device, window = self.device, self.job["window_ns"]
        offset = device.unix() - device.now()
        begin = device.now()
        device.sleep(window)
        before = now = device.now()
        inferences = 0
        busy = Path("busy")  # by which a stand-in of a meter knows
        busy.touch()
        while now - before < window:
            self.models["a"].predict()
            inferences += 1
            now = device.now()
        busy.unlink()
        device.sleep(window)
        windows = {"idle_before": [begin, before], "burst": [before, now], "idle_after": [now, device.now()]}
        counted = {"inferences": inferences, "counters": [], "samples": [], "unix_offset_ns": offset}
        self.result["energy"] = windows | counted

    def require_cool(self, when: str) -> None:
        state = self.device.moment()["thermal"]
        if state in ("serious", "critical"):
            raise FailedError("run", "device_error", f"thermal state {state} {when}: let the device cool down")

    def note_placement(self) -> None:
        if not self.job["placement"]:
            return
        placed = {name: self.device.placement(arm) for name, arm in self.job["arms"].items()}
        if all(each is not None for each in placed.values()):
            self.result["apple"]["placement"] = placed
        else:
            self.result["apple"]["placement_problem"] = "this system does not tell where operations run"


class Averages:
    def __init__(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = self.agreeing = 0

    def update(self, took: int) -> None:
        sample = took + 1.0
        self.fast = 0.1 * sample + 0.9 * self.fast if self.seen else sample
        self.slow = 0.005 * sample + 0.995 * self.slow if self.seen else sample
        self.seen += 1
        self.agreeing = self.agreeing + 1 if abs(self.fast / self.slow - 1) < 0.04 else 0

    def agree(self, iterations: int) -> bool:
        return self.seen >= iterations and self.agreeing >= min(iterations, 40)


def compare(spec: dict[str, Any], got: list[float], want: list[float]) -> dict[str, Any]:
    differences = [distance(g, w) for g, w in zip(got, want, strict=True)]
    nonfinite = sum(math.isfinite(w) and not math.isfinite(g) for g, w in zip(got, want, strict=True))
    error = sum(d * d for d in differences)
    norm = sum(w * w for w in want if math.isfinite(w))
    relative = 0.0 if error == 0 else math.inf if norm == 0 else math.sqrt(error) / math.sqrt(norm)
    made = {"name": spec["name"], "rel_l2": relative, "max_abs": max(differences, default=0.0), "nonfinite": nonfinite}
    equal, tolerance = argmax(got) == argmax(want), spec["tolerance"]
    return made | {"argmax_equal": equal, "tolerance": tolerance, "ok": nonfinite == 0 and relative <= tolerance}


def distance(got: float, want: float) -> float:
    if math.isfinite(got) and math.isfinite(want):
        return abs(got - want)
    return 0.0 if got == want or (got != got and want != want) else math.inf


def argmax(values: list[float]) -> int:
    top, highest = 0, -math.inf
    for index, value in enumerate(values):
        if value > highest:
            top, highest = index, value
    return top


def explanation(check: dict[str, Any], count: int) -> str:
    name = check["name"]
    if check["nonfinite"]:
        words = f"{check['nonfinite']} of {count} elements are NaN or infinite where the golden output is finite"
        return f"output '{name}': {words}"
    words = f"relative L2 error {check['rel_l2']:.3g}, allowed {check['tolerance']:.3g}"
    return f"output '{name}' differs from the golden output: {words} (largest difference {check['max_abs']:.3g})"


def plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


def main(words: list[str]) -> bytes:
    if words[0] == "--vector":
        folder = Path(words[1])
        return Measurement(MadeDevice(folder)).attempt((folder / "job.json").read_text())
    device = Device(Path.cwd())
    if words[0] == "--identify":
        return json.dumps({"identity": device.identity, "stamp": device.stamp}).encode()
    return Measurement(device).attempt(Path(words[0]).read_text())


if __name__ == "__main__":
    sys.stdout.buffer.write(main(sys.argv[1:]))
