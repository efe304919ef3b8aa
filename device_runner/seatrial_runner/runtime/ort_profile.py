"""What ONNX Runtime's profiler wrote, understood: which operator took how long, and which provider ran it.

Its events are those of Chrome's trace viewer: one ``model_run`` per inference, and within it one ``..._kernel_time``
per operator of the optimised graph, with times in microseconds (onnxruntime/core/common/profiler.cc).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from seatrial_targets.profile import RuntimeSpec

from ..records import LayerProfile, LayerTime

CPU = "CPUExecutionProvider"
TOOL = "ONNX Runtime's profiler"
MOST_US = 10**12


@dataclass(frozen=True)
class Event:
    """One event: when it began and how long it took, in us since the session was made; operator and provider."""

    name: str
    begin_us: int
    took_us: int
    op: str = ""
    provider: str = ""
    index: str = ""


@dataclass
class _Layer:
    name: str
    op: str
    provider: str
    ns: dict[int, int] = field(default_factory=dict)  # by inference


def promise(runtime: RuntimeSpec) -> tuple[str, ...]:
    """Return the providers that a target promises to run on. The CPU is the last resort of all, and no promise then."""
    others = tuple(name for name in runtime.providers if name != CPU)
    return others or (CPU,)


def read_profile(lines: Sequence[str], inferences: int, promised: tuple[str, ...]) -> LayerProfile:
    """Return the profile of the last ``inferences`` inferences; lines that make no sense are left out (untrusted)."""
    events = sorted(_events(lines), key=lambda event: event.begin_us)
    runs = [event for event in events if event.name == "model_run"][-inferences:] if inferences else []
    layers: dict[tuple[str, str], _Layer] = {}
    for index, kernel in _within(runs, (event for event in events if event.op)):
        layer = layers.setdefault((kernel.index, kernel.name), _Layer(kernel.name, kernel.op, kernel.provider))
        layer.ns[index] = layer.ns.get(index, 0) + kernel.took_us * 1000  # an operator in a loop runs several times
    return LayerProfile(
        tool=TOOL,
        promised=promised,
        layers=tuple(
            LayerTime(name=one.name, op=one.op, provider=one.provider, ns=tuple(one.ns.values()))
            for one in layers.values()
        ),
        inference_ns=tuple(run.took_us * 1000 for run in runs),
    )


def _within(runs: Sequence[Event], kernels: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Yield each kernel with the number of the run that it lies in; both are in the order of their beginning."""
    at = 0
    for kernel in kernels:
        while at < len(runs) and kernel.begin_us > runs[at].begin_us + runs[at].took_us:
            at += 1
        if at < len(runs) and kernel.begin_us >= runs[at].begin_us:
            yield at, kernel


def _events(lines: Iterable[str]) -> Iterator[Event]:
    for line in lines:
        try:
            event = json.loads(line.strip().rstrip(","))
            begin, took, name = event["ts"], event["dur"], event["name"]
        except (ValueError, RecursionError, TypeError, KeyError):
            continue
        if not (isinstance(begin, int) and isinstance(took, int) and isinstance(name, str)):
            continue
        if not (0 <= begin < MOST_US and 0 <= took < MOST_US):
            continue
        arguments = event.get("args") if isinstance(event.get("args"), dict) else {}
        op, provider, index = (str(arguments.get(key, ""))[:300] for key in ("op_name", "provider", "node_index"))
        is_kernel = name.endswith("_kernel_time")
        if name == "model_run" or (is_kernel and op):
            yield Event(name.removesuffix("_kernel_time")[:1000], begin, took, op if is_kernel else "", provider, index)
