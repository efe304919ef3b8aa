"""A verdict and its checks in words: what Markdown, HTML and the terminal say alike."""

from __future__ import annotations

import math

from seatrial_ci.gate.verdict import Check, Outcome, Verdict
from seatrial_ci.gate.wording import exact, noise, show


def title(verdict: Verdict) -> str:
    """Return which bundle was judged, and where: one name may have bundles for several targets."""
    return f"{verdict.candidate} ({verdict.target}) on {verdict.device}"


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return what decided. Of a PASS only the comparison is said: the table of the checks holds the rest."""
    if verdict.outcome is not Outcome.PASS or len(verdict.checks) == 1:
        return verdict.reasons
    compared = (check.message for check in verdict.checks if check.unit == "relative")
    return (f"all {len(verdict.checks)} checks pass", *compared)


def limit_of(check: Check) -> str:
    """Return what the figure was held against, in words."""
    if check.margin is not None and check.ignore is not None:
        return f"ignore {exact(check.ignore, 'ratio')}, margin {exact(check.margin, 'ratio')}"
    if check.limit is None:
        return "-"
    most = check.unit in ("ns", "bytes", "mJ", "points") or check.metric == "fallback_ops"
    return f"{'at most' if most else 'at least'} {exact(check.limit, check.unit)}"


def evidence_of(check: Check) -> str:
    """Return how much was measured, how noisy it was, and what that noise lets one see."""
    parts = []
    if check.pairs is not None:
        parts.append(f"{check.pairs} {check.method} pairs")
    if check.runs is not None:
        parts.append(f"{check.runs} runs")
    if check.noise_sd is not None:
        parts.append(f"noise {noise(check.noise_sd)}")
    if check.mde is not None and math.isfinite(check.mde):
        parts.append(f"would have seen {show(check.mde, 'relative')}")
    return ", ".join(parts) or (check.method if check.value is not None else "")


def levels(verdict: Verdict) -> str:
    """Return '99.75 %', the confidence of each bound of the checks, or nothing when there are no bounds."""
    found = sorted({round(check.confidence * 100, 2) for check in verdict.checks if check.confidence is not None})
    return f"{' or '.join(f'{level:g}' for level in found)} %" if found else ""


def bounds_note(verdict: Verdict) -> str:
    """Return at which level the bounds of the checks are, and why; nothing when there are none."""
    said = levels(verdict)
    if not said:
        return ""
    return (
        f"The bounds decide: each holds with {said} confidence, so that all looks at a metric together "
        "are wrong no oftener than the gate's error rate."
    )
