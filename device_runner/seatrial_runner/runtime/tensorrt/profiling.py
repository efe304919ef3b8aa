"""Where an engine's time goes, and in which type each layer runs: trtexec's profile and layer information, joined."""

from __future__ import annotations

from collections.abc import Sequence

from ...records import LayerProfile, LayerTime
from .exports import Layer, multiplies, parse_layers, parse_profile
from .exports import LayerTime as Timed

ANY = "GPU"  # layers that only move or combine data have no type that anybody promised


def read_profile(profile: bytes, layers: bytes, promised: Sequence[str]) -> LayerProfile:
    """Return the profile: per layer its mean time, and for those that multiply the type that they read.

    ``promised`` are the types that the target promises for layers that multiply ("int8"); empty: none.
    """
    known = {layer.name: layer for layer in parse_layers(layers)}
    rows = tuple(_row(timed, known.get(timed.name)) for timed in parse_profile(profile))
    return LayerProfile(tool="trtexec", promised=(*promised, ANY) if promised else (), layers=rows)


def promise(precision: str, kept_float: Sequence[str]) -> tuple[str, ...]:
    """Return what a bundle promises of layers that multiply: nothing where the user keeps some in floating point."""
    return ("int8",) if precision == "int8" and not kept_float else ()


def _row(timed: Timed, layer: Layer | None) -> LayerTime:
    unit = (layer.precision or "unknown") if layer and multiplies(layer) else ANY
    return LayerTime(name=timed.name, op=layer.kind if layer else "", provider=unit, ns=(timed.average_ns,))
