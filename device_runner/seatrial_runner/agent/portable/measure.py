"""First inference, check, warm-up, and the modes."""

from __future__ import annotations

import array
import os
import sys
import time
from typing import Any

from . import machine
from .check import compare
from .energy import Energy
from .evaluate import evaluate
from .evict import evict
from .failure import fail, text
from .files import read_file
from .job import Arm, Job
from .npy import read_npy
from .runtime import Runtime
from .stdout import Stdout
from .system import SystemMemory, cgroup_peak
from .trace import Trace

# The warm-up rule of AndroidX Benchmark (WarmupManager): fast and slow moving averages must agree within 4 %.
_FAST, _SLOW, _AGREEMENT, _MOST_AGREEING = 0.1, 0.005, 0.04, 40


class Measurement:
    """One run, from the job to its figures, which are attributes as in `records.AgentResult`."""

    def __init__(self, job: Job, out: Stdout) -> None:
        self.job, self.out = job, out
        self.stage = "job"
        self.runtime: Any
        self.start_ns: int | None = None
        self.environment_ns: int | None = None
        self.switches: tuple[int, ...] = ()
        self.memory: dict[str, Any] = {}
        self.energy: dict[str, Any] | None = None
        self.sensors: dict[str, Any] | None = None
        self.profile: list[str] = []
        self.evicted: dict[str, int] | None = None
        self.main_ns = time.monotonic_ns()
        self.first_output_ns: int | None = None

    def run(self) -> None:
        """Do everything the job asks for. Raises AgentFailureError; ``stage`` then says where."""
        if self.job.mode == b"evict":
            self.stage = "evict"
            self.evicted = evict(self.job.evicted)
            return
        machine.pin(self.job.cpus)
        self.stage = "input"
        for tensor in (tensor for arm in self.job.arms.values() for tensor in arm.inputs):
            tensor.data = read_npy(tensor)
        self.memory["baseline_rss"] = machine.proc_bytes("/proc/self/status", "VmRSS:")
        if self.job.mode == b"memory":
            self.system = SystemMemory()
        self.stage = "library"
        self.runtime = open_runtime(self.job)
        begin = time.monotonic_ns()
        self.runtime.create_environment()
        self.environment_ns = time.monotonic_ns() - begin
        for arm in self.job.order():
            self._prepare(arm)
        self._measure()

    def _measure(self) -> None:
        if self.job.mode == b"evaluate":
            self.stage = "evaluate"
            progress("evaluating")
            return evaluate(self.job, self.runtime, self.out)
        for arm in self.job.order():
            self.runtime.prepare_timing(arm)
        if self.job.mode == b"memory":
            return self._measure_memory()
        self._warm_up()
        before = machine.switches()
        modes = {b"energy": self._measure_energy, b"sustained": self._sustain, b"profile": self._profile}
        modes.get(self.job.mode, self._measure_latency)()
        self._note_switches(before)

    def _measure_energy(self) -> None:
        self.stage = "energy"
        energy = Energy(self.job, self.out)
        progress("measuring energy")
        self.energy = energy.measure(self._infer)

    def _sustain(self) -> None:
        """One inference after the other for minutes, every so many of them kept, while sensors are read."""
        job, arm = self.job, self.job.arms[b"a"]
        arm.wall_ns, arm.cpu_ns, arm.at_ns, arm.gpu_ns = (array.array("q", bytes(8 * job.iterations)) for _ in range(4))
        self.stage = "energy"
        trace = Trace(job, job.max_ns)
        trace.start()
        self.stage = "run"
        progress("measuring for long")
        begin = time.monotonic_ns()
        while (now := time.monotonic_ns()) - begin < job.max_ns:
            kept = arm.inferences % job.stride == 0 and arm.samples < job.iterations
            if kept:
                arm.at_ns[arm.samples] = now
                self._take_sample(arm)
            else:
                self._timed(arm)
            arm.inferences += 1
            self.out.watch()
        trace.stop()
        if trace.samples:
            self.sensors = {"sensors": trace.ids, "samples": trace.samples}

    def _profile(self) -> None:
        """The runtime's own profiler: its file lies in the run's folder and is sent line by line as it is."""
        arm, begin = self.job.arms[b"a"], time.monotonic_ns()
        progress("profiling")
        while arm.inferences < self.job.iterations and time.monotonic_ns() - begin < self.job.max_ns:
            self._timed(arm)
            arm.inferences += 1
        path = self.runtime.end_profiling(arm)
        lines = text(read_file(path, 64 << 20)).split("\n")
        os.unlink(path)
        self.profile = [line for line in lines if "_kernel_time" in line or '"model_run"' in line]

    def _note_switches(self, before: tuple[int, ...]) -> None:
        self.switches = tuple(now - then for now, then in zip(machine.switches(), before))

    def _prepare(self, arm: Arm) -> None:
        progress("loading the model")
        self.stage = "session"
        self.runtime.create_session(arm)
        self.stage = "input"
        self.runtime.bind(arm)
        self.stage = "run"
        begin = time.monotonic_ns()
        self.runtime.infer(arm)
        arm.first_ns, arm.ran = time.monotonic_ns() - begin, True
        if self.start_ns is None:
            self.first_output_ns = time.monotonic_ns() - self.main_ns
            self.start_ns = machine.since_process_start_ns()
        if self.job.mode == b"memory":  # before the golden outputs are in memory: they are not the model's
            self.memory["peak_load"] = machine.proc_bytes("/proc/self/status", "VmHWM:")
        self._check(arm)
        self.stage = "run"

    def _check(self, arm: Arm) -> None:
        self.stage = "check"
        for index, tensor in enumerate(arm.outputs):
            output = self.runtime.output(arm, index)
            arm.checks.append(compare(tensor, output, read_npy(tensor)))
        for check, tensor in zip(arm.checks, arm.outputs):
            if not check["ok"]:
                explain(check, tensor.count)
        self.runtime.drop(arm)

    def _round(self) -> list[Arm]:
        """One inference alone, or the quadruple A B B A (B A A B when b is first)."""
        order = self.job.order()
        return order if len(order) == 1 else [order[0], order[1], order[1], order[0]]

    def _infer(self) -> None:
        arm = self.job.arms[b"a"]
        self.runtime.infer(arm)
        self.runtime.drop(arm)

    def _timed(self, arm: Arm) -> int:
        begin = time.monotonic_ns()
        self.runtime.infer(arm)
        took = time.monotonic_ns() - begin
        self.runtime.drop(arm)
        self.out.watch()
        return took

    def _warm_up(self) -> None:
        progress("warming up")
        job, order = self.job, self._round()
        averages = {id(arm): Averages() for arm in order}
        begin, passed = time.monotonic_ns(), 0
        while passed < job.warmup_max_ns:
            warm = all(averages[id(arm)].agree(job.warmup_iterations) for arm in order)
            if warm and passed >= job.warmup_min_ns:
                return
            for arm in order:
                arm.warmup_iterations += 1
                averages[id(arm)].update(self._timed(arm))
            passed = time.monotonic_ns() - begin

    def _measure_latency(self) -> None:
        progress("measuring")
        order = self._round()
        samples = self.job.iterations if len(order) == 1 else (self.job.iterations + 1) // 2 * 2
        for arm in order:
            arm.wall_ns, arm.cpu_ns, arm.gpu_ns = (array.array("q", bytes(8 * samples)) for _ in range(3))
        begin = time.monotonic_ns()
        while True:
            for arm in order:
                self._take_sample(arm)
            self.out.watch()
            if order[0].samples >= samples or time.monotonic_ns() - begin >= self.job.max_ns:
                return

    def _take_sample(self, arm: Arm, cpu_clock: Any = time.process_time_ns, clock: Any = time.monotonic_ns) -> None:
        run = arm.run
        cpu = cpu_clock()
        begin = clock()
        status = run()
        end = clock()
        cpu_end = cpu_clock()
        if status:
            self.runtime.explain(status, "device_error", "the inference failed")
        arm.wall_ns[arm.samples] = end - begin
        arm.cpu_ns[arm.samples] = cpu_end - cpu
        self.runtime.drop(arm)
        arm.gpu_ns[arm.samples] = arm.last_gpu_ns or 0
        arm.samples += 1

    def _measure_memory(self) -> None:
        self.memory["hwm_reset"] = machine.reset_peak()
        before, begin = machine.switches(), time.monotonic_ns()
        for _ in range(self.job.iterations):
            self._timed(self.job.arms[b"a"])
            if time.monotonic_ns() - begin >= self.job.max_ns:
                break
        self._note_switches(before)
        self.memory["peak_inference"] = machine.proc_bytes("/proc/self/status", "VmHWM:")
        self.memory["rss"] = machine.proc_bytes("/proc/self/status", "VmRSS:")
        self.memory["swapped"] = machine.proc_bytes("/proc/self/status", "VmSwap:")
        self.memory["cgroup_peak"] = cgroup_peak()
        self.memory["system_peak_delta"] = self.system.delta()
        self.memory["pss"] = machine.proc_bytes("/proc/self/smaps_rollup", "Pss:")
        self.memory.update(self.runtime.engine_memory())


class Averages:
    """The two moving averages of one arm's inferences, and for how many in a row they have agreed."""

    def __init__(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = self.agreeing = 0

    def update(self, took_ns: int) -> None:
        """Take in one inference, in ns."""
        sample = took_ns + 1.0
        self.fast = _FAST * sample + (1 - _FAST) * self.fast if self.seen else sample
        self.slow = _SLOW * sample + (1 - _SLOW) * self.slow if self.seen else sample
        self.seen += 1
        self.agreeing = self.agreeing + 1 if abs(self.fast / self.slow - 1) < _AGREEMENT else 0

    def agree(self, iterations: int) -> bool:
        """Return whether the averages have agreed for long enough, after at least ``iterations`` inferences."""
        return self.seen >= iterations and self.agreeing >= min(iterations, _MOST_AGREEING)


def explain(check: dict[str, Any], count: int) -> None:
    """Fail with what is wrong about one output."""
    name = check["name"]
    if check["nonfinite"]:
        fail(
            "device_error",
            f"output '{name}': {check['nonfinite']} of {count} elements are NaN or infinite "
            "where the golden output is finite",
        )
    fail(
        "device_error",
        f"output '{name}' differs from the golden output: relative L2 error {check['rel_l2']:.3g}, "
        f"allowed {check['tolerance']:.3g} (largest difference {check['max_abs']:.3g})",
    )


def progress(line: str) -> None:
    """Tell the host, on stderr, what is done now."""
    print(f"seatrial-agent: {line}", file=sys.stderr, flush=True)


def open_runtime(job: Job) -> Any:
    """Return the runtime that the job names."""
    if job.runtime == b"tensorrt":
        from .trt import Runtime as TensorRt

        return TensorRt(job)
    return Runtime(job)
