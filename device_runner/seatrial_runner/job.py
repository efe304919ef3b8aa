"""The job that an agent is given: the contract between host and device, the same for the C and the Python agent.

A job is text, one ``key value`` per line, in UTF-8; it ends with the line ``end``. Paths are relative to the folder
that the agent is started in, or absolute, and hold no spaces (the host names them by hash). Names of tensors come last
on their line and run to its end. An unknown key is an error: a new key means a new version.

    seatrial-job 2
    token 3f1c...                     repeated in the end marker, so that stale or foreign output can't pass for ours
    runtime tensorrt                  optional: onnxruntime | tensorrt, which only the Python agent has: its library is
                                      a libcudart.so, cuda-python, pycuda or auto, its models are engines
    mode latency                      latency | memory | energy | sustained | profile | evaluate | evict
    library /path/libonnxruntime.so
    threads 1                         intra-op; with two arms one global pool is shared by both
    spin 0                            intra-op threads spin while they wait
    cpus 0,1                          optional: affinity of the process
    warmup_iterations 30              at least this many,
    warmup_min_ns 250000000           for at least this long,
    warmup_max_ns 8000000000          and at most this long, until two moving averages agree within 4 % (AndroidX)
    iterations 200                    timed inferences per arm (duet: rounded up to a whole number of quadruples);
                                      sustained: the most that are kept
    max_ns 60000000000                stop timing after this long; what was measured is kept. sustained: how long
    stride 1                          sustained: of so many inferences, one is kept
    first a                           duet: the arm that is loaded first and starts each quadruple
    window_ns 10000000000             energy: length of each of the windows idle, burst, idle
    sample_period_ns 100000000        energy, sustained: how often the counters are read
    counter rapl:0 /sys/.../energy_uj energy, sustained: id and file to read at each sample; repeatable, may be absent
    samples 32                        evaluate: how many
    evict blobs/9f...                 evict: a file that the kernel is asked to forget; repeatable. Nothing else is done
    arm a
    model blobs/9f...                 .onnx or .ort
    provider CPUExecutionProvider     optional, repeatable, in order
    provider_option backend_path x.so option of the provider before it; repeatable
    optimization all                  none | basic | extended | all
    config session.x.y value          session configuration entry; repeatable
    input float32 1,3,224,224 blobs/ab... NAME       a .npy file in C order
    output float32 1,1000 blobs/cd... 0.001 NAME     golden .npy and its tolerance: relative L2 error
    feed ../../evaluate/x             evaluate: raw samples for an input, one after the other; one for each input
    fetch ../../evaluate/y            evaluate: the file to write an output's samples to; one for each output
    arm b
    ...
    end

History: 1 was first. 2 brought the modes sustained, profile, evaluate and evict, with what belongs to them, options of
providers, and energy runs without a counter, for meters that the agent does not read.

The agent prints progress to stderr and, to stdout, one JSON object on one line, then ``seatrial-end TOKEN`` on a
line of its own. The object is described by `seatrial_runner.records.AgentResult`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seatrial_targets.errors import UserError

from .records import ArmName

JOB_VERSION = 2
Mode = Literal["latency", "memory", "energy", "sustained", "profile", "evaluate", "evict"]


@dataclass(frozen=True)
class TensorFile:
    """One tensor on the device: its name in the model, numpy dtype name, shape, and .npy file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: str
    tolerance: float | None = None  # relative L2; outputs only


@dataclass(frozen=True)
class ArmJob:
    """One model of a job, with what goes in and what must come out."""

    model: str
    inputs: tuple[TensorFile, ...]
    outputs: tuple[TensorFile, ...]
    providers: tuple[str, ...] = ()
    optimization: str = "all"
    config: Mapping[str, str] = field(default_factory=dict)
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by provider
    feeds: tuple[str, ...] = ()
    fetches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run of the agent. Times in ns. Two arms in latency mode make a duet; mode evict has none, but ``evict``."""

    token: str
    mode: Mode
    library: str = ""
    arms: Mapping[ArmName, ArmJob] = field(default_factory=dict)
    runtime: str = "onnxruntime"
    threads: int = 1
    spin: bool = True
    cpus: tuple[int, ...] = ()
    warmup_iterations: int = 30
    warmup_min_ns: int = 250_000_000
    warmup_max_ns: int = 8_000_000_000
    iterations: int = 200
    max_ns: int = 60_000_000_000
    first: ArmName = "a"
    window_ns: int = 10_000_000_000
    sample_period_ns: int = 100_000_000
    counters: Mapping[str, str] = field(default_factory=dict)
    stride: int = 1
    samples: int = 0
    evict: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the job as the text that agents read. Raises UserError for a name that a line can't carry."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"seatrial-job {JOB_VERSION}"
        yield f"token {self.token}"
        yield f"mode {self.mode}"
        if self.mode == "evict":
            yield from (f"evict {path}" for path in self.evict)
            yield "end"
            return
        if self.runtime != "onnxruntime":
            yield f"runtime {self.runtime}"
        yield f"library {self.library}"
        yield f"threads {self.threads}"
        yield f"spin {int(self.spin)}"
        if self.cpus:
            yield "cpus " + ",".join(map(str, self.cpus))
        for key in ("warmup_iterations", "warmup_min_ns", "warmup_max_ns", "iterations", "max_ns", "first"):
            yield f"{key} {getattr(self, key)}"
        yield from self._lines_of_mode()
        for arm, job in self.arms.items():
            yield f"arm {arm}"
            yield from _arm_lines(job)
        yield "end"

    def _lines_of_mode(self) -> Iterator[str]:
        if self.mode == "energy":
            yield f"window_ns {self.window_ns}"
        if self.mode == "sustained":
            yield f"stride {self.stride}"
        if self.mode in ("energy", "sustained"):
            yield f"sample_period_ns {self.sample_period_ns}"
            yield from (f"counter {key} {path}" for key, path in self.counters.items())
        if self.mode == "evaluate":
            yield f"samples {self.samples}"


def _arm_lines(arm: ArmJob) -> Iterator[str]:
    yield f"model {arm.model}"
    for name in arm.providers:
        yield f"provider {name}"
        yield from (f"provider_option {key} {value}" for key, value in arm.provider_options.get(name, {}).items())
    yield f"optimization {arm.optimization}"
    yield from (f"config {key} {value}" for key, value in arm.config.items())
    yield from (f"input {_tensor(t)} {_line_safe(t.name)}" for t in arm.inputs)
    yield from (f"output {_tensor(t)} {t.tolerance!r} {_line_safe(t.name)}" for t in arm.outputs)
    yield from (f"feed {path}" for path in arm.feeds)
    yield from (f"fetch {path}" for path in arm.fetches)


def _tensor(tensor: TensorFile) -> str:
    return f"{tensor.dtype} {','.join(map(str, tensor.shape)) or 'scalar'} {tensor.path}"


def _line_safe(name: str) -> str:
    if not name or any(ord(c) < 32 for c in name):
        raise UserError(f"tensor name {name!r} is empty or holds a control character; rename it in the model")
    return name
