"""Latency, accuracy and size of the variants of a model beside each other, device by device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seatrial_ci.gate.wording import between, show
from seatrial_ci.report.axes import Axis, around
from seatrial_ci.report.chart import Chart, Line, Mark
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_ci.stated import accuracy_text
from seatrial_ci.summary import BundleFigures, Figure, summarise
from seatrial_runner.records import Trial

KEY, TITLE = "variants", "Latency, accuracy and size of the variants"
MOST_TRIALS, MOST_CHARTS, MOST_ROWS = 200, 4, 60
MOST_NAMES = 12  # with more, the pointer and the table tell which is which
SIZES = 4  # classes of dots, by size


@dataclass(frozen=True)
class Variant:
    """A bundle that was measured on a device."""

    device: str
    bundle: BundleFigures
    p50: Figure
    latency: float

    @property
    def name(self) -> str:
        """'net.TARGET'."""
        return f"{self.bundle.name}.{self.bundle.target}"


def variants(trials: Sequence[Trial]) -> Exhibit:
    """Return the exhibit of all bundles (of at most 200 trials); a device with one bundle alone has no chart."""
    found = list(_variants(trials[:MOST_TRIALS]))
    devices = {device: [v for v in found if v.device == device] for device in dict.fromkeys(v.device for v in found)}
    compared = {device: some for device, some in devices.items() if len(some) > 1}
    if not compared:
        return Exhibit(KEY, TITLE, absent="fewer than two bundles with a p50 were measured on one device")
    charts = tuple(_chart(device, some) for device, some in list(compared.items())[:MOST_CHARTS])
    rows = [_row(v, compared[v.device]) for v in found if v.device in compared]
    shown, left_out = limited(rows, MOST_ROWS, "bundles")
    hidden = len(compared) - len(charts)
    return Exhibit(
        KEY,
        TITLE,
        f"{len(rows)} bundles on {len(compared)} device{'s' if len(compared) > 1 else ''}.",
        _reading(compared) + (f" {hidden} more devices have rows in the table only." if hidden else ""),
        charts=charts,
        head=("bundle", "device", "p50", "size", "accuracy", "on the front"),
        rows=shown,
        left_out=left_out,
    )


def _variants(trials: Sequence[Trial]) -> Iterator[Variant]:
    seen: set[tuple[str, str]] = set()
    for trial in trials:
        found = summarise(trial)
        for bundle in found.bundles:
            p50 = bundle.latency["p50"]
            if p50.value and (found.device, bundle.digest) not in seen:
                seen.add((found.device, bundle.digest))
                yield Variant(found.device, bundle, p50, p50.value)


def _reading(devices: dict[str, list[Variant]]) -> str:
    metrics = {_metric(some) for some in devices.values()}
    if metrics == {""}:
        return "p50 against size; nearer to the lower left is better. No accuracy is stated for all of them."
    return (
        "p50 against accuracy; nearer to the upper left is better, and a larger dot is a larger file. The line joins "
        "the front: no other bundle is both faster and more accurate."
    )


def _metric(some: Sequence[Variant]) -> str:
    """The first accuracy that all of them state; empty when there is none."""
    common = set.intersection(*({k for k in v.bundle.accuracy if not k.endswith("_torch")} for v in some))
    return min(common, default="")


def _front(some: Sequence[Variant]) -> list[Variant]:
    """Those than which no other is as good in one and better in the other, fastest first."""
    metric = _metric(some)

    def cost(v: Variant) -> tuple[float, float]:
        return v.latency, -v.bundle.accuracy[metric] if metric else float(v.bundle.size_bytes)

    def beaten(v: Variant) -> bool:
        mine = cost(v)
        return any(a <= mine[0] and b <= mine[1] and (a, b) != mine for a, b in map(cost, some))

    return sorted((v for v in some if not beaten(v)), key=cost)


def _chart(device: str, some: Sequence[Variant]) -> Chart:
    metric = _metric(some)
    heights = [v.bundle.accuracy[metric] if metric else float(v.bundle.size_bytes) for v in some]
    front = _front(some)
    y = around(heights, "", metric) if metric else Axis(0, max(heights) * 1.15 or 1.0, "bytes", "size")
    marks = [_mark(v, some, height, metric) for v, height in zip(some, heights, strict=True)]
    line = [(v.latency, heights[some.index(v)]) for v in front]
    return Chart(
        x=Axis(0, _reach(some) * 1.12, "ns", f"p50 latency on {device}"),
        y=y,
        marks=tuple(marks),
        lines=(Line("front", [x for x, _ in line], [height for _, height in line]),) if len(line) > 1 else (),
        legend=tuple((role, role) for role in dict.fromkeys(v.bundle.role for v in some)),
    )


def _reach(some: Sequence[Variant]) -> float:
    """Return how far the axis must go: to the end of each interval, unless that would press the dots together."""
    slowest = max(v.latency for v in some)
    return min(2 * slowest, max((span[1] for v in some if (span := _span(v))), default=slowest))


def _mark(v: Variant, some: Sequence[Variant], height: float, metric: str) -> Mark:
    group = f"{v.bundle.role} size{_size(v, some) if metric else 1}"
    return Mark(v.latency, height, group, _text(v), _span(v), name=_name(v, some) if len(some) <= MOST_NAMES else "")


def _name(v: Variant, some: Sequence[Variant]) -> str:
    """Its name and precision, as far as they tell it from the others."""
    parts = ((each.bundle.name, each.bundle.precision) for each in some)
    names, precisions = (len(set(column)) > 1 for column in zip(*parts, strict=True))
    told = [v.bundle.name] * names + [v.bundle.precision] * (precisions or not names)
    return " ".join(told)


def _span(v: Variant) -> tuple[float, float] | None:
    return (v.p50.low, v.p50.high) if v.p50.low is not None and v.p50.high is not None else None


def _size(v: Variant, some: Sequence[Variant]) -> int:
    greatest = max(each.bundle.size_bytes for each in some) or 1
    return min(SIZES, 1 + int(SIZES * v.bundle.size_bytes / (greatest + 1)))


def _text(v: Variant) -> str:
    accuracy = accuracy_text(v.bundle.accuracy, "")
    return ", ".join(filter(None, (f"{v.name}: {show(v.latency, 'ns')}", show(v.bundle.size_bytes, "bytes"), accuracy)))


def _row(v: Variant, some: Sequence[Variant]) -> tuple[str, ...]:
    interval = between(v.p50.low, v.p50.high, "ns")
    p50 = show(v.latency, "ns") + (f" ({interval})" if interval else "")
    accuracy = accuracy_text(v.bundle.accuracy, "-")
    return v.name, v.device, p50, show(v.bundle.size_bytes, "bytes"), accuracy, "yes" if v in _front(some) else "no"
