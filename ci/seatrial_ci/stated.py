"""What a bundle states of itself, in words: how near it is to torch, how accurate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# In the order in which they are said. `golden_*`, of the example inputs alone, are for the check on the device.
_PARITY: Mapping[str, Callable[[float], str]] = {
    "sqnr_db": lambda v: f"SQNR {v:.1f} dB",
    "sequence_sqnr_db": lambda v: f"over predictions in a row {v:.1f} dB",
    "corner_shapes_sqnr_db": lambda v: f"at the limits of its shapes {v:.1f} dB",
    "top1_agreement": lambda v: f"top-1 agreement {v * 100:.1f} %",
    "max_abs": lambda v: f"largest error {v:.2g}",
    "samples": lambda v: f"on {v:.0f} sample{'' if v == 1 else 's'}",
}
BRIEF = ("sqnr_db", "top1_agreement")


def parity_text(parity: Mapping[str, float], brief: bool = False, unchecked: str = "") -> str:
    """Return 'SQNR 22.3 dB, top-1 agreement 98.3 %, largest error 0.7, on 60 samples'; ``brief``: the first two.

    ``unchecked`` is why an exporter could not compare: then nothing is claimed.
    """
    if unchecked:
        return f"not checked: {unchecked}"
    keys = [key for key in _PARITY if key in parity and (key in BRIEF or not brief)]
    return ", ".join(_PARITY[key](parity[key]) for key in keys) or "not measured"


def accuracy_text(accuracy: Mapping[str, float], nothing: str = "not measured") -> str:
    """Return 'top1 0.925 (torch 0.93)', metric after metric."""
    own = [key for key in accuracy if not (key.endswith("_torch") and key.removesuffix("_torch") in accuracy)]
    return ", ".join(f"{key} {accuracy[key]:.4g}{_torch(accuracy, key)}" for key in own) or nothing


def _torch(accuracy: Mapping[str, float], key: str) -> str:
    return f" (torch {accuracy[f'{key}_torch']:.4g})" if f"{key}_torch" in accuracy else ""
