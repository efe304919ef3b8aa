"""What trtexec prints, read without trust: versions 8.2 to 11.

Each line is ``[MM/DD/YYYY-HH:MM:SS] [I] text``; errors and warnings go to stderr, so both streams are read as one. The
first and the last line are ``&&&& RUNNING`` and ``&&&& PASSED TensorRT.trtexec [TensorRT v100300] # argv``
(samples/common/logging.h in NVIDIA/TensorRT). Percentiles are read, but never used: they are computed anew from the
raw times, since trtexec's are of another kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..output import printable
from .version import Version

Ending = Literal["running", "passed", "failed", "waived", "none"]

# A stand-in prints this, and nothing that is real does: see tests/peers/stand_in/trtexec.py.
STAND_IN = "SEATRIAL STAND-IN"
MOST_LINES, MOST_CHARACTERS, MOST_NOTES = 200_000, 2000, 50
_NUMBER = r"[-+0-9.eE]+|-?inf|-?nan"
_BANNER = re.compile(
    r"&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec \[TensorRT v(\d{4,6})\](?: \[b(\d{1,6})\])? # (.*)"
)
_LINE = re.compile(r"\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] \[([FEWIV])\] ?(.*)")
_SUMMARY = re.compile(
    r"(Latency|End-to-End Host Latency|Enqueue Time|H2D Latency|GPU Compute Time|D2H Latency): (min .*)"
)
_PAIR = re.compile(rf"(min|max|mean|median|percentile\([\d.]+%\))\s*=?\s*({_NUMBER}) ms")
_FIGURES = {
    "throughput_qps": re.compile(rf"Throughput: ({_NUMBER}) qps"),
    "walltime_s": re.compile(rf"Total Host Walltime: ({_NUMBER}) s"),
    "gpu_time_s": re.compile(rf"Total GPU Compute Time: ({_NUMBER}) s"),
    "built_s": re.compile(rf"Engine built in ({_NUMBER}) sec\."),
    "loaded_s": re.compile(rf"Engine loaded in ({_NUMBER}) sec\."),
    "deserialized_s": re.compile(rf"Engine deserialized in ({_NUMBER}) sec\."),
    "engine_mib": re.compile(rf"(?:Created|Loaded) engine with size: ({_NUMBER}) MiB"),
    "scratch_mib": re.compile(rf"Created execution context with device memory size: ({_NUMBER}) MiB"),
    "persistent_bytes": re.compile(r"\[TRT\] Total Device Persistent Memory: (\d+)"),
    "sms": re.compile(r"SMs: (\d+)"),
}
_WORDS = {
    "gpu": re.compile(r"Selected Device: (.+)"),
    "capability": re.compile(r"Compute Capability: (\d+\.\d+)"),
    "plan_version": re.compile(r"Plan was created with TensorRT version ([\d.]+)"),
}
_MEMORY = re.compile(r"\[MemUsage\w*\].* now: CPU (\d+), GPU (\d+) \(MiB\)")
_NOT_CAPTURED = "not permitted under CUDA graph capture mode"
# What of the options' echo decides what the figures mean.
SETTINGS = (
    "Batch", "Inference Streams", "ExposeDMA", "Data transfers", "Spin-wait", "Multithreading", "CUDA Graph",
    "Sleep time", "Idle time",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """One call of trtexec. ``figures`` and ``words`` are keyed as `_FIGURES` and `_WORDS`; absent: not printed.

    ``settings`` are the inference options as trtexec echoes them, with "CUDA Graph" set right when none could be
    captured. ``peak_mib`` is the highest (CPU, GPU) that TensorRT itself noted, in MiB.
    """

    version: Version | None = None
    ending: Ending = "none"
    command: str = ""
    stand_in: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # in ms
    peak_mib: tuple[int, int] = (0, 0)
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    lines: int = 0

    def nanoseconds(self, figure: str) -> int | None:
        """Return one of the durations that are told in seconds, in ns; None when it was not told or makes no sense."""
        seconds = self.figures.get(figure, -1.0)
        return round(seconds * 1e9) if 0 <= seconds < 1e6 else None

    def bytes_of(self, figure: str) -> int | None:
        """Return one of the sizes that are told in MiB, in bytes; None when it was not told or makes no sense."""
        mebibytes = self.figures.get(figure, -1.0)
        return round(mebibytes * 2**20) if 0 <= mebibytes < 2**24 else None


@dataclass
class _Reader:
    version: Version | None = None
    ending: Ending = "none"
    command: str = ""
    section: str = ""
    captured: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    summary: dict[str, dict[str, float]] = field(default_factory=dict)
    peak: tuple[int, int] = (0, 0)
    notes: dict[str, list[str]] = field(default_factory=lambda: {"E": [], "W": []})

    def take(self, level: str, text: str) -> None:
        """Take in one line: its level (F, E, W or I) and its text."""
        if level in "FE":
            self.notes["E"].append(text)
        elif level == "W":
            self.notes["W"].append(text)
            self.captured = self.captured and _NOT_CAPTURED not in text
        elif text.startswith("=== "):
            self.section = text.strip("= ")
        elif self.section == "Inference Options":
            self._setting(text)
        self._figures(text)

    def _setting(self, text: str) -> None:
        name, _, value = text.partition(": ")
        if name in SETTINGS and name not in self.settings:
            self.settings[name] = value.strip()[:100]

    def _figures(self, text: str) -> None:
        for name, pattern in _FIGURES.items():
            if found := pattern.match(text):
                self.figures[name] = _number(found[1])
        for name, pattern in _WORDS.items():
            if found := pattern.match(text):
                self.words.setdefault(name, found[1].strip()[:100])
        if found := _SUMMARY.match(text):
            self.summary[found[1]] = {key: _number(value) for key, value in _PAIR.findall(found[2])}
        if found := _MEMORY.search(text):
            self.peak = max(self.peak[0], int(found[1][:9])), max(self.peak[1], int(found[2][:9]))


def parse_report(raw: bytes) -> Report:
    """Return what trtexec printed; whatever it is, this raises nothing."""
    lines = [line[:MOST_CHARACTERS] for line in raw.decode("utf-8", "replace").split("\n")[:MOST_LINES]]
    reader = _Reader()
    for line in lines:
        line = line.rstrip("\r")
        if found := _BANNER.search(line):
            _note_banner(reader, found)
        elif found := _LINE.match(line):
            reader.take(found[1], printable(found[2]))
    if reader.settings.get("CUDA Graph") == "Enabled" and not reader.captured:
        reader.settings["CUDA Graph"] = "Disabled (could not be captured)"
    return _report(reader, lines)


def failure(report: Report) -> str:
    """Return why trtexec failed, in its own words: its errors, the most telling first, without repetitions."""
    words = list(dict.fromkeys(_plain(report.errors)))
    telling = [text for text in words if not text.startswith(_EMPTY_WORDS)]
    return "; ".join((telling or words)[:4])[:1200]


# What trtexec adds to an error that was told before.
_EMPTY_WORDS = (
    "Engine set up failed", "Inference set up failed", "Failed to create engine", "Building engine failed",
    "Error occurred during inference", "Parsing model failed", "Failed to parse onnx file", "Got invalid engine",
)  # fmt: skip


def _plain(errors: Iterable[str]) -> Iterator[str]:
    for text in errors:
        text = re.sub(r"^(\[TRT\] |Error\[\d+\]: )+", "", text.strip())
        if text:
            yield text[:400]


def _note_banner(reader: _Reader, found: re.Match[str]) -> None:
    version = Version.from_code(found[2], found[3])
    reader.version = reader.version or version
    reader.ending = found[1].lower()  # type: ignore[assignment]
    reader.command = reader.command or printable(found[4])


def _report(reader: _Reader, lines: list[str]) -> Report:
    return Report(
        version=reader.version,
        ending=reader.ending,
        command=reader.command,
        stand_in=any(STAND_IN in line for line in lines),
        settings=reader.settings,
        figures=reader.figures,
        words=reader.words,
        summary=reader.summary,
        peak_mib=reader.peak,
        errors=tuple(reader.notes["E"][-MOST_NOTES:]),
        warnings=tuple(reader.notes["W"][-MOST_NOTES:]),
        lines=len(lines),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
