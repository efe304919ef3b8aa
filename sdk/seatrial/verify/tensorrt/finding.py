"""What the linter says, and of which versions of TensorRT it is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from seatrial_targets.profile import Shape, TargetProfile, version_key

if TYPE_CHECKING:
    import onnx

    from ..onnx_graph import Graph

Severity = Literal["error", "warning", "hint"]
Version = tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """One place that breaks one rule.

    ``error``: TensorRT rejects it, or computes something else. ``warning``: it is accepted, but silently runs in
    floating point or slower. ``hint``: worth knowing. ``versions`` are those of TensorRT that it concerns.
    """

    rule: str
    severity: Severity
    node: str
    op: str
    reason: str
    fix: str
    versions: str


@dataclass(frozen=True)
class Context:
    """What the file is for: versions of TensorRT (oldest, and the first that is too new), precision, shapes. ``held``:
    nodes that are built in float32 where the rest is float16."""

    oldest: Version = (8, 5)
    end: Version = (12,)
    fp16: bool = True
    shapes: dict[str, Shape] = field(default_factory=dict)
    held: frozenset[str] = frozenset()

    @classmethod
    def of(cls, target: TargetProfile) -> Context:
        """Return what ``target`` says."""
        how = target.quantization
        low = re.search(r">=\s*([\d.]+)", target.runtime.versions)
        high = re.search(r"<\s*([\d.]+)", target.runtime.versions)
        return cls(
            version_key(low.group(1)) if low else (8, 5),
            version_key(high.group(1)) if high else (99,),
            target.precision == "fp16" or (how is not None and how.rest != "fp32"),
            dict(target.shapes),
        )


@dataclass(frozen=True)
class Problem:
    """What a rule found at a node (or, without one, at ``place``)."""

    node: onnx.NodeProto | None
    reason: str
    fix: str
    place: str = ""
    severity: Severity | None = None  # None: that of the rule


@dataclass(frozen=True)
class Rule:
    """A name, how bad it is, which versions it concerns [since, until), and what finds it."""

    name: str
    severity: Severity
    find: Callable[[Graph, Context], Iterator[Problem]]
    since: Version = ()
    until: Version = ()

    def concerns(self, context: Context) -> bool:
        """Return whether any version that the file is for is among those of the rule."""
        return (not self.until or context.oldest < self.until) and context.end > self.since

    @property
    def versions(self) -> str:
        """Return which versions, in words: "all", ">=10", "<10"."""
        text = [f">={_dotted(self.since)}"] * bool(self.since) + [f"<{_dotted(self.until)}"] * bool(self.until)
        return ",".join(text) or "all"


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
