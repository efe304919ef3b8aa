"""What the stand-in for trtexec reports and exports, in the forms of sampleReporting.cpp."""

from __future__ import annotations

import json
import os
from typing import Any

NAMES = (
    "startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs", "startD2hMs", "endD2hMs",
    "h2dMs", "computeMs", "d2hMs", "latencyMs",
)  # fmt: skip
Row = "tuple[float, float, float, float]"  # when it began, H2D, compute, D2H: in ms


def summary(rows: list[Any]) -> list[str]:
    """The lines of the performance summary."""
    wall = rows[-1][0] + rows[-1][2] - rows[0][0]
    return [
        "Warmup completed 1 queries over 200 ms",
        f"Timing trace has {len(rows)} queries over {wall / 1000:g} s",
        "",
        "=== Performance summary ===",
        f"Throughput: {1000 * len(rows) / max(wall, 1e-6):g} qps",
        metric("Latency", [sum(row[1:]) for row in rows]),
        metric("Enqueue Time", [row[2] for row in rows]),
        metric("H2D Latency", [row[1] for row in rows]),
        metric("GPU Compute Time", [row[2] for row in rows]),
        metric("D2H Latency", [row[3] for row in rows]),
        f"Total Host Walltime: {wall / 1000:g} s",
        f"Total GPU Compute Time: {sum(row[2] for row in rows) / 1000:g} s",
    ]


def metric(name: str, values: list[float]) -> str:
    ordered, n = sorted(values), len(values)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    shown = [f"min = {ordered[0]:g} ms", f"max = {ordered[-1]:g} ms", f"mean = {sum(values) / n:g} ms"]
    shown += [f"median = {middle:g} ms"]
    shown += [f"percentile({p}%) = {ordered[n - 1 - int((1 - p / 100) * n)]:g} ms" for p in (90, 95, 99)]
    return f"{name}: {', '.join(shown)}"


def write_times(path: str, rows: list[Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("[\n")
        for index, (at, h2d, compute, d2h) in enumerate(rows):
            end = at + compute
            values = (at, end, at - h2d, at, at, end, end, end + d2h, h2d, compute, d2h, h2d + compute + d2h)
            text = ", ".join(f'"{NAMES[i]}" : {value:g}' for i, value in enumerate(values))
            file.write(f"{', ' if index else '  '}{{ {text} }}\n")
        file.write("]\n")


def write_output(path: str, names: list[str], outputs: list[Any], scalar: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("[\n")
        for index, name in enumerate(names):
            value = outputs[index]
            numbers = ", ".join(f"{item:g}" if isinstance(item, float) else str(int(item)) for item in value.values)
            shape = "x".join(map(str, value.shape)) or scalar
            head = f'{", " if index else "  "}{{ "name" : "{name}"\n  , "dimensions" : "{shape}"\n'
            file.write(f'{head}  , "values" : [ {numbers} ]\n  }}\n')
        file.write("]\n")


def write_profile(path: str, session: Any, feed: dict[str, Any]) -> None:
    """Times of the nodes by ONNX Runtime's own profiler, in one more inference; names as they are, unescaped."""
    session.run(None, feed)
    name = session.end_profiling()
    with open(name, encoding="utf-8") as file:
        events = [event for event in json.load(file) if event.get("cat") == "Node"]
    os.unlink(name)
    times = [(event["name"].replace("_kernel_time", ""), event["dur"] / 1000) for event in events]
    total = sum(each for _, each in times) or 1.0
    with open(path, "w", encoding="utf-8") as file:
        file.write('[\n  { "count" : 1 }\n')
        for layer, each in times:
            head = f', {{ "name" : "{layer}", "timeMs" : {each:g}, "averageMs" : {each:g}, "medianMs" : {each:g}'
            file.write(f'{head}, "percentage" : {100 * each / total:g} }}\n')
        file.write("]\n")
