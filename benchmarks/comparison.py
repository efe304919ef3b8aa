"""A full comparison (32 duet runs) of two bundles on this machine: what it costs beyond the inferences themselves.

    python benchmarks/comparison.py demo-out/bundles/efficientnet-lite0.x86-64-cpu-{int8,fp32}

Prints a Markdown table: wall time, time inside inferences (timed and warm-up), and the rest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from seatrial_runner.bundle import Bundle
from seatrial_runner.plan import Plan
from seatrial_runner.records import Run, Trial
from seatrial_runner.trial import open_trial
from seatrial_targets import inventory

RUNS = 32


def inference_seconds(run: Run) -> float:
    """Return the time that a run spent in inferences, warm-up included (counted at the median of the timed ones)."""
    assert run.result is not None
    arms = run.result.arms.values()
    return sum(sum(a.wall_ns) + a.first_ns + a.warmup_iterations * statistics.median(a.wall_ns) for a in arms) / 1e9


def compare(candidate: Path, baseline: Path) -> tuple[float, Trial]:
    """Make the duet runs and return the wall seconds of it all, session and pushes included, and the trial."""
    bundles = {"candidate": Bundle.open(candidate), "baseline": Bundle.open(baseline)}
    began = time.monotonic()
    with open_trial(inventory.load().get("local"), bundles, Plan()) as runner:  # type: ignore[arg-type]
        runner.pairs(RUNS)
    return time.monotonic() - began, runner.trial


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidate", type=Path)
    parser.add_argument("baseline", type=Path)
    arguments = parser.parse_args()
    wall, trial = compare(arguments.candidate, arguments.baseline)
    inside = sum(inference_seconds(run) for run in trial.of("duet"))
    print("| what | figure |\n|---|---|")
    print(f"| {len(trial.of('duet'))} duet runs, wall | {wall:.1f} s |")
    print(f"| of it inside inferences, warm-up included | {inside:.1f} s |")
    print(f"| **beyond the inferences** | **{wall - inside:.1f} s** |")


if __name__ == "__main__":
    main()
