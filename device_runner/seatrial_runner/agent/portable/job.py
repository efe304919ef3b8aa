"""The job file, parsed: see `seatrial_runner.job`."""

from __future__ import annotations

import array
import ctypes
import math
import re
from collections.abc import Callable
from typing import Any

from .failure import fail, text
from .files import read_file

# numpy's name -> descr in .npy, ONNX element type, struct code, bytes
DTYPES = {
    b"float32": (b"<f4", 1, "f", 4), b"float16": (b"<f2", 10, "e", 2), b"float64": (b"<f8", 11, "d", 8),
    b"int8": (b"|i1", 3, "b", 1), b"uint8": (b"|u1", 2, "B", 1), b"int16": (b"<i2", 5, "h", 2),
    b"uint16": (b"<u2", 4, "H", 2), b"int32": (b"<i4", 6, "i", 4), b"uint32": (b"<u4", 12, "I", 4),
    b"int64": (b"<i8", 7, "q", 8), b"uint64": (b"<u8", 13, "Q", 8), b"bool": (b"|b1", 9, "B", 1),
}  # fmt: skip
MODES = (b"latency", b"memory", b"energy", b"sustained", b"profile", b"evaluate", b"evict")
OPTIMIZATION = {b"none": 0, b"basic": 1, b"extended": 2, b"all": 99}
FOREVER = 1 << 53  # ns
INTEGERS = {  # key: default, lowest, highest
    b"threads": (1, 1, 1024), b"spin": (1, 0, 1), b"warmup_iterations": (30, 0, 10**6),
    b"warmup_min_ns": (250_000_000, 0, FOREVER), b"warmup_max_ns": (8_000_000_000, 0, FOREVER),
    b"iterations": (200, 0, 10**6), b"max_ns": (60_000_000_000, 0, FOREVER),
    b"window_ns": (10_000_000_000, 1, FOREVER), b"sample_period_ns": (100_000_000, 1, FOREVER),
    b"stride": (1, 1, 10**9), b"samples": (0, 0, 10**6),
}  # fmt: skip


class Tensor:
    """One input or output as the job names it; ``data`` is the content of its .npy file."""

    def __init__(self, dtype: bytes, shape: tuple[int, ...], path: bytes, tolerance: float, name: bytes) -> None:
        self.dtype, self.shape, self.path, self.tolerance, self.name = dtype, shape, path, tolerance, name
        self.descr, self.onnx, self.code, self.size = DTYPES[dtype]
        self.count = math.prod(shape)
        self.data: memoryview | None = None


class Arm:
    """One model: what the job says of it, what the runtime made of it, what was measured."""

    def __init__(self) -> None:
        self.model = b""
        self.optimization = 99
        self.providers: list[tuple[bytes, list[tuple[bytes, bytes]]]] = []  # name, options
        self.config: list[tuple[bytes, bytes]] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.feeds: list[bytes] = []  # mode evaluate: files, in the order of inputs and outputs
        self.fetches: list[bytes] = []
        self.session: Any = ctypes.c_void_p()
        self.values: Any = None  # of the outputs
        self.run: Callable[[], Any] = lambda: None
        self.ran = False
        self.session_ns = self.first_ns = self.warmup_iterations = self.samples = 0
        self.checks: list[dict[str, Any]] = []
        self.wall_ns = self.cpu_ns = self.at_ns = self.gpu_ns = array.array("q")
        self.last_gpu_ns: int | None = None  # by the GPU's own events, where the runtime has them
        self.inferences = 0  # modes sustained and profile


class Job:
    """The job file, parsed. Raises AgentFailureError (harness_error) for anything it can't be."""

    def __init__(self) -> None:
        self.token = self.library = b""
        self.runtime = b"onnxruntime"
        self.mode, self.first = b"latency", b"a"
        self.cpus: list[int] = []
        self.counters: list[tuple[bytes, bytes]] = []
        self.evicted: list[bytes] = []
        self.arms: dict[bytes, Arm] = {}
        self.number = {key: default for key, (default, _, _) in INTEGERS.items()}

    def __getattr__(self, key: str) -> int:
        return self.number[key.encode()]

    def read(self, path: str) -> None:
        """Take all that the job file at ``path`` says; one that does not close with 'end' was not sent whole."""
        raw = read_file(path.encode(), 4 << 20)
        lines = (raw[:-1] if raw.endswith(b"\n") else raw).split(b"\n")
        if lines[0] != b"seatrial-job 2":
            fail("harness_error", "job file, line 1: not 'seatrial-job 2'")
        arm: Arm | None = None
        for number, line in enumerate(lines[1:], 2):
            if line == b"end":
                return self._require_whole()
            try:
                arm = self._set(line, arm)
            except (ValueError, KeyError, IndexError, OverflowError) as error:
                fail("harness_error", f"job file, line {number}: {error}")
        fail("harness_error", f"job file: ends at line {len(lines)} without 'end'; it was not sent whole")

    def _set(self, line: bytes, arm: Arm | None) -> Arm | None:
        key, _, rest = line.partition(b" ")
        if not rest or max(map(len, rest.split(b" "))) > 4096 or b"\0" in rest:
            raise ValueError(f"{text(key[:64])}: a value is missing or too long")
        if key == b"arm":
            if rest in self.arms or rest not in (b"a", b"b"):
                raise ValueError(f"arm {text(rest)!r} is given twice or is none")
            self.arms[rest] = Arm()
            return self.arms[rest]
        if not (self._set_for_arm(arm, key, rest) if arm else self._set_for_job(key, rest)):
            raise ValueError(f"unknown key {text(key[:64])!r}; host and agent differ in version")
        return arm

    def _set_for_job(self, key: bytes, rest: bytes) -> bool:
        if key in INTEGERS:
            _, low, high = INTEGERS[key]
            self.number[key] = integer(rest, low, high)
        elif key in (b"token", b"library"):
            setattr(self, key.decode(), rest)
        elif key == b"mode":
            self.mode = one_of(rest, MODES)
        elif key == b"runtime":
            self.runtime = one_of(rest, (b"onnxruntime", b"tensorrt"))
        elif key == b"first":
            self.first = one_of(rest, (b"a", b"b"))
        elif key == b"cpus":
            self.cpus = [integer(cpu, 0, 8191) for cpu in rest.split(b",")]
        elif key == b"counter":
            name, path = rest.split(b" ", 1)
            self.counters.append((name, path))
        elif key == b"evict":
            self.evicted.append(rest)
        else:
            return False
        return True

    @staticmethod
    def _set_for_arm(arm: Arm, key: bytes, rest: bytes) -> bool:
        if key == b"model":
            arm.model = rest
        elif key == b"provider":
            arm.providers.append((rest, []))
        elif key == b"provider_option":
            name, value = rest.split(b" ", 1)
            arm.providers[-1][1].append((name, value))
        elif key in (b"feed", b"fetch"):
            (arm.feeds if key == b"feed" else arm.fetches).append(rest)
        elif key == b"optimization":
            arm.optimization = OPTIMIZATION[one_of(rest, tuple(OPTIMIZATION))]
        elif key == b"config":
            name, value = rest.split(b" ", 1)
            arm.config.append((name, value))
        elif key in (b"input", b"output"):
            tensors = arm.inputs if key == b"input" else arm.outputs
            tensor = parse_tensor(rest, key == b"output")
            if any(tensor.name == other.name for other in tensors):
                raise ValueError("a tensor is given twice")
            tensors.append(tensor)
        else:
            return False
        return True

    def _require_whole(self) -> None:
        evict, evaluate = self.mode == b"evict", self.mode == b"evaluate"
        a = self.arms.get(b"a", Arm())
        fed = len(a.feeds) == len(a.inputs) and len(a.fetches) == len(a.outputs) and self.samples > 0
        problems = {
            "token or library is missing": not (self.token and (self.library or evict)),
            "arm a is missing": b"a" not in self.arms and not evict,
            "two arms, which only mode latency takes": len(self.arms) > 1 and self.mode != b"latency",
            "the arm that is to be first is not given": self.first not in self.arms and not evict,
            "iterations must be 1 or more": self.mode != b"energy" and self.iterations < 1,
            "an arm has no model": not all(arm.model for arm in self.arms.values()),
            "mode evaluate wants samples, one feed for each input and one fetch for each output": evaluate and not fed,
        }
        for problem, is_so in problems.items():
            if is_so:
                fail("harness_error", f"job file: {problem}")

    def order(self) -> list[Arm]:
        """Return the arms, the first one first."""
        return [self.arms[name] for name in sorted(self.arms, key=lambda name: name != self.first)]


def integer(digits: bytes, low: int, high: int) -> int:
    """Return an integer written in ASCII digits, from ``low`` to ``high``; raise ValueError otherwise."""
    if not re.fullmatch(rb"-?[0-9]{1,19}", digits) or not low <= int(digits) <= high:
        raise ValueError(f"{text(digits[:64])!r} is not an integer from {low} to {high}")
    return int(digits)


def one_of(value: bytes, known: tuple[bytes, ...]) -> bytes:
    """Return ``value`` when it is one of the values that its key may have; raise ValueError otherwise."""
    if value not in known:
        raise ValueError(f"{text(value[:64])!r} is not one of the values of its key")
    return value


def parse_tensor(rest: bytes, is_output: bool) -> Tensor:
    """Parse ``DTYPE DIMS PATH NAME``, for an output ``DTYPE DIMS PATH TOLERANCE NAME``; only a name has blanks."""
    dtype, dims, path, tail = rest.split(b" ", 3)
    tolerance = 0.0
    if is_output:
        digits, tail = tail.split(b" ", 1)
        tolerance = float(digits)
        if not tolerance >= 0:
            raise ValueError("the tolerance is not a number from 0 up")
    if dtype not in DTYPES or not tail:
        raise ValueError(f"unknown dtype {text(dtype[:32])!r} or no name")
    shape = () if dims == b"scalar" else tuple(integer(d, 0, 1 << 40) for d in dims.split(b","))
    if len(shape) > 32 or math.prod(shape) > 1 << 40:
        raise ValueError("a tensor of more than 32 dimensions or 2^40 elements")
    return Tensor(dtype, shape, path, tolerance, tail)
