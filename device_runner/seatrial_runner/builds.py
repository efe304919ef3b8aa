"""What a device made of bundles before they ran, and what their memory is the memory of, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial_targets.units import format_size

from .records import Build, BundleName, Memory


def told(builds: Mapping[BundleName, Build]) -> tuple[str, ...]:
    """Return a note for each build, and one for each of its warnings."""
    return tuple(note for name, build in builds.items() for note in _notes(name, build))


def whose_memory(name: BundleName, memory: Memory | None) -> tuple[str, ...]:
    """Return a note where a peak is not that of a process: on a GPU that shares the machine's memory."""
    own = {"serialized": memory.engine_bytes, "scratch": memory.scratch_bytes} if memory else {}
    parts = [f"{format_size(size)} {what}" for what, size in own.items() if size is not None]
    if memory is None or memory.system_peak_delta is None or not parts:
        return ()
    return (
        f"{name}: peak memory is how far the use of the whole machine rose, since what a GPU takes is in no process's"
        f" figures; its engine says of itself: {', '.join(parts)}",
    )


def _notes(name: str, build: Build) -> Iterator[str]:
    when = "was there, built" if build.cached else "was built"
    seconds = f" in {build.seconds:.0f} s" if build.seconds is not None else ""
    memory = build.system_peak_delta
    rise = f"; the machine's memory rose by {format_size(memory)}" if memory is not None else ""
    yield f"{name}: the {build.what} {when}{seconds}{rise}{_precisions(build)}"
    yield from (f"{name}: {warning}" for warning in build.warnings)


def _precisions(build: Build) -> str:
    total = sum(build.precisions.values())
    shares = [f"{count} in {precision}" for precision, count in build.precisions.items()]
    return f"; of {total} layers that multiply, {', '.join(shares)}" if total else ""
