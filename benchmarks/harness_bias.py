"""Harness bias: the agents' p50 against bare loops over ONNX Runtime, with the same session options.

    python benchmarks/harness_bias.py [MODEL.onnx] [--rounds 40] [--iterations 300] [--threads 1] [--cpus 0]

The reference is `bare_loop.c` on the very library that the agents load (needs gcc). A loop over the Python API is
measured beside it; it has the runtime linked into its own module and is slower, for reasons that were not isolated.
One fresh process each, in turns within a round, the order reversed in every second one, so that the machine's mood
falls on all alike. The figure is the 20 %-trimmed mean of the per-round log-ratios of p50s, with its 95 % interval;
beside it that of the minima, which a busy machine disturbs less. One Markdown row per comparison. Without MODEL a
small CNN is made.
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from seatrial_runner.agent import native_agent, python_agent
from seatrial_runner.agent.ort_header import include_folder
from seatrial_runner.job import ArmJob, Job, TensorFile
from seatrial_runner.libraries import installed
from seatrial_runner.runtime.output import parse_result

WARMUP_NS = 300_000_000  # the same time for all, so that only the timed loops differ
TRIM = 0.2
COMPARISONS = (
    ("native agent", "bare C loop"),
    ("Python agent", "bare C loop"),
    ("Python agent", "native agent"),
    ("native agent", "Python API loop"),
)
# What anyone would write to time a model in Python, and no more. Same warm-up, same clock.
PYTHON_LOOP = """
import os, sys, time
import numpy, onnxruntime
model, iterations, warmup_ns, threads, spin, cpus = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
if cpus: os.sched_setaffinity(0, map(int, cpus.split(",")))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.add_session_config_entry("session.intra_op.allow_spinning", str(spin))
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
feed = dict(numpy.load(sys.argv[7]))
end = time.monotonic_ns() + warmup_ns
while time.monotonic_ns() < end: session.run(None, feed)
samples = []
for _ in range(iterations):
    begin = time.monotonic_ns()
    session.run(None, feed)
    samples.append(time.monotonic_ns() - begin)
print(*samples)
"""


def small_cnn() -> bytes:
    """Return an ONNX model of four 3x3 convolutions over (1, 32, 64, 64): a few milliseconds on one core."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shape = [1, 32, 64, 64]
    names = ["x", "h0", "h1", "h2", "y"]
    weights = [(random.standard_normal((32, 32, 3, 3)) / 17).astype(np.float32) for _ in names[1:]]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [a, f"w{i}"], [b], pads=[1, 1, 1, 1])
            for i, (a, b) in enumerate(itertools.pairwise(names))
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def golden(model: Path, folder: Path) -> tuple[ArmJob, Path]:
    """Return the agents' arm and the bare loop's feed (npz) for random inputs; open dimensions become 1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feed: dict[str, NDArray[Any]] = {}
    for entry in session.get_inputs():
        shape = [d if isinstance(d, int) else 1 for d in entry.shape]
        if entry.type != "tensor(float)":
            sys.exit(f"{model}: input {entry.name} is {entry.type}; only float inputs are made here")
        feed[entry.name] = random.standard_normal(shape).astype(np.float32)
    names = [entry.name for entry in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, feed), strict=True))
    np.savez(folder / "feed.npz", **feed)  # type: ignore[arg-type]
    inputs = tuple(saved(folder, f"in{i}.npy", name, value, None) for i, (name, value) in enumerate(feed.items()))
    checked = tuple(saved(folder, f"out{i}.npy", name, value, 1e-3) for i, (name, value) in enumerate(outputs.items()))
    return ArmJob(str(model), inputs, checked), folder / "feed.npz"


def saved(folder: Path, file: str, name: str, value: NDArray[Any], tolerance: float | None) -> TensorFile:
    np.save(folder / file, value)
    return TensorFile(name, value.dtype.name, value.shape, str(folder / file), tolerance)


Timing = tuple[float, float]  # p50 and minimum of one process, in ns


def timing(samples: Sequence[int]) -> Timing:
    return median(samples), min(samples)


def bare_timing(argv: list[str]) -> Timing:
    """Run the bare loop."""
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return timing([int(sample) for sample in done.stdout.split()])


def compiled(folder: Path) -> Path:
    """Compile the bare C loop."""
    program, source = folder / "bare_loop", Path(__file__).with_name("bare_loop.c")
    argv = ["gcc", "-std=gnu11", "-O2", f"-I{include_folder()}", str(source), "-o", str(program), "-ldl"]
    subprocess.run(argv, check=True)
    return program


def agent_timing(argv: list[str], job_file: Path, token: str) -> Timing:
    """Run one agent."""
    done = subprocess.run([*argv, str(job_file)], capture_output=True, check=False)
    result = parse_result(done.stdout, token)
    if result.error:
        sys.exit(f"{argv[-1]}: {result.error.stage}: {result.error.message}")
    return timing(result.arms["a"].wall_ns)


def contestants(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[], Timing]]:
    """Return each way to time the model, by name; a call is one fresh process."""
    arm, feed = golden(options.model, folder)
    library, native = installed(), native_agent(platform.machine())
    if library is None or native is None:
        sys.exit("needs the onnxruntime package and a native agent for this machine")
    cpus = tuple(map(int, options.cpus.split(","))) if options.cpus else ()
    counts = {"warmup_min_ns": WARMUP_NS, "warmup_max_ns": WARMUP_NS, "iterations": options.iterations}
    job = Job(token="bias", mode="latency", library=str(library.path), arms={"a": arm}, cpus=cpus, **counts)
    job_file = folder / "job"
    job_file.write_text(job.render().replace("threads 1\n", f"threads {options.threads}\n", 1))
    numbers = list(map(str, (options.iterations, WARMUP_NS, options.threads, int(job.spin))))
    bare = [str(compiled(folder)), str(library.path), str(options.model), *numbers]
    pinned = ["taskset", "--cpu-list", options.cpus] if options.cpus else []
    python_loop = [sys.executable, "-c", PYTHON_LOOP, str(options.model), *numbers, options.cpus, str(feed)]
    portable = [sys.executable, str(python_agent())]
    return {
        "bare C loop": lambda: bare_timing([*pinned, *bare]),
        "Python API loop": lambda: bare_timing(python_loop),
        "native agent": lambda: agent_timing([str(native)], job_file, job.token),
        "Python agent": lambda: agent_timing(portable, job_file, job.token),
    }


def interleaved(ways: dict[str, Callable[[], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """Return ``rounds`` timings per way; forwards and backwards in turn."""
    measured: dict[str, list[Timing]] = {name: [] for name in ways}
    for index in range(rounds):
        order = list(ways) if index % 2 == 0 else list(reversed(ways))
        for name in order:
            measured[name].append(ways[name]())
        print(f"round {index + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return measured


def ratio(of: Sequence[float], to: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio and its 95 % interval: Yuen's t on the trimmed per-round log-ratios."""
    logs = np.log(np.asarray(of) / np.asarray(to))
    kept = len(logs) - 2 * int(TRIM * len(logs))
    spread = math.sqrt(float(stats.mstats.winsorize(logs, (TRIM, TRIM)).var(ddof=1)))
    reach = float(stats.t.ppf(0.975, kept - 1)) * spread / ((1 - 2 * TRIM) * math.sqrt(len(logs)))
    centre = float(stats.trim_mean(logs, TRIM))
    return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)


def row(name: str, other: str, measured: dict[str, list[Timing]], title: str) -> str:
    """Return one Markdown row: bias in percent, with its interval, of p50 and of the minimum."""
    cells = [title, f"{name} against {other}"]
    for which in (0, 1):
        found = ratio([timing[which] for timing in measured[name]], [timing[which] for timing in measured[other]])
        bias, low, high = (100 * (value - 1) for value in found)
        cells.append(f"{bias:+.2f} % ({low:+.2f} to {high:+.2f})")
    cells += [f"{median(p50 for p50, _ in measured[other]) / 1e6:.3f} ms", str(len(measured[name]))]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    for name, default in (("rounds", 40), ("iterations", 300), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--cpus", default="", help="pin every process to these, e.g. 0,1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        title = options.model.name if options.model else "small CNN"
        if options.model is None:
            options.model = folder / "model.onnx"
            options.model.write_bytes(small_cnn())
        options.model = options.model.resolve()
        measured = interleaved(contestants(options, folder), options.rounds)
    print("| model | comparison | bias of p50 (95 %) | bias of the minimum (95 %) | p50 | rounds |")
    print("|---|---|---|---|---|---|")
    for left, right in COMPARISONS:
        print(row(left, right, measured, title))


if __name__ == "__main__":
    main()
