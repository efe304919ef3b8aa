"""How often is the gate wrong, and how many pairs does it take? Simulated duets through the code that judges real ones.

    python benchmarks/gate_error_rates.py [--repetitions 1000] [--traces tests/data/noisy_runs.npz] > table.md

Each repetition is a live gate: it measures to the look that `runs_wanted` asks for, until nothing is wanted, and is
then judged by `judge`. A duet's figure is ln(1 + true slow-down) + noise. Noise is normal with the sd named, and, in
the rows marked so, 3 % of the runs are disturbed by 8 to 25 % either way, or the noise of recorded A/A duets, centred
and resampled. Pairs are independent; that of recorded ones is -.07 correlated with the next.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seatrial_ci.gate import judge, runs_wanted
from seatrial_ci.statistics.duet import duet_log_ratio
from seatrial_runner.records import AgentResult, ArmResult, BundleInfo, DeviceInfo, Run, Trial
from seatrial_targets.budgets import Budgets

EFFECTS = (0.0, 0.01, 0.02, 0.03, 0.05)
BASE_NS = 1_000_000_000  # so that rounding to whole ns does not show
Noise = Callable[[np.random.Generator], float]
BUNDLE = BundleInfo(digest="0" * 64, name="simulated", target="simulated", precision="fp32", size_bytes=1)


def run_of(index: int, log_ratio: float) -> Run:
    """Return a duet run of one quadruple with this figure, built without validation: there are very many."""
    times = {"candidate": round(BASE_NS * math.exp(log_ratio)), "baseline": BASE_NS}
    arms = {"a": "candidate", "b": "baseline"} if index % 2 == 0 else {"a": "baseline", "b": "candidate"}
    results = {
        arm: ArmResult.model_construct(
            session_ns=1, first_ns=1, warmup_iterations=1, checks=(), wall_ns=(times[b],) * 2
        )
        for arm, b in arms.items()
    }
    result = AgentResult.model_construct(agent="native", agent_version="simulated", status="ok", arms=results)
    return Run.model_construct(
        index=index, kind="duet", arms=arms, first="a", status="ok", started_unix_ns=0, duration_ns=0, result=result
    )


def gate(rng: np.random.Generator, effect: float, noise: Noise, budgets: Budgets) -> tuple[str, int]:
    """Measure and judge once, as a live gate does. Returns the outcome and the pairs it took."""
    runs: list[Run] = []
    trial = Trial(
        id="simulated",
        seatrial_version="0",
        started_unix_ns=0,
        device=DeviceInfo(name="simulated", target="simulated", transport="none", stamp="simulation"),
        bundles={"candidate": BUNDLE, "baseline": BUNDLE},
    )
    while wanted := runs_wanted(trial, budgets).duets:
        runs += [run_of(len(runs) + i, math.log1p(effect) + noise(rng)) for i in range(wanted)]
        trial = trial.model_copy(update={"runs": tuple(runs)})
    return judge(trial, budgets).outcome.value, len(runs)


def normal(sd: float) -> Noise:
    """Return normal noise of this sd."""
    return lambda rng: sd * float(rng.standard_normal())


def disturbed(sd: float) -> Noise:
    """Return normal noise with 3 % of the runs disturbed by 8 to 25 %, either way."""

    def draw(rng: np.random.Generator) -> float:
        jolt = rng.uniform(0.08, 0.25) * rng.choice((-1, 1)) if rng.random() < 0.03 else 0.0
        return sd * float(rng.standard_normal()) + float(jolt)

    return draw


def resampled(figures: NDArray[np.float64]) -> Noise:
    """Return draws, with replacement, from centred recorded figures."""
    centred = figures - np.median(figures)
    return lambda rng: float(rng.choice(centred))


def recorded(path: Path) -> NDArray[np.float64]:
    """Return the figure of each A/A duet kept in an npz: duet_a_ns and duet_b_ns, shape (..., samples), ns."""
    with np.load(path, allow_pickle=False) as data:
        pairs = [data[key].reshape(-1, data[key].shape[-1]) for key in ("duet_a_ns", "duet_b_ns")]
    return np.array([duet_log_ratio(a, b) for a, b in zip(*pairs, strict=True)])


def rows(repetitions: int, traces: Path | None) -> Iterator[str]:
    """Yield the lines of a Markdown table, one per noise and rule, as they are computed."""
    yield "| noise | ignore, margin | " + " | ".join(f"true {effect:+.0%}" for effect in EFFECTS) + " |"
    yield "|" + "---|" * (len(EFFECTS) + 2)
    noises = {f"sd {sd:.1%}": normal(sd) for sd in (0.008, 0.01, 0.02, 0.03, 0.05)}
    noises |= {f"sd {sd:.1%}, 3 % disturbed": disturbed(sd) for sd in (0.008, 0.03)}
    if traces:
        figures = recorded(traces)
        noises[f"recorded, n = {len(figures)}, sd {figures.std(ddof=1):.1%}"] = resampled(figures)
    rules = {"1 %, 5 %": (0.01, 0.05), ".5 %, 2 %": (0.005, 0.02)}
    for name, noise in noises.items():
        for label, (ignore, margin) in rules.items():
            budgets = Budgets.model_validate({"regression": {"ignore": ignore, "margin": margin}})
            cells = (cell(repetitions, effect, noise, budgets) for effect in EFFECTS)
            yield f"| {name} | {label} | " + " | ".join(cells) + " |"


def cell(repetitions: int, effect: float, noise: Noise, budgets: Budgets) -> str:
    """Return 'FAIL / PASS / INCONCLUSIVE / INVALID %, mean pairs' over repetitions with a fixed seed."""
    rng = np.random.default_rng(2026)
    found = [gate(rng, effect, noise, budgets) for _ in range(repetitions)]
    counts = Counter(outcome for outcome, _ in found)
    shares = [100 * counts[o] / repetitions for o in ("FAIL", "PASS", "INCONCLUSIVE", "INVALID")]
    return " / ".join(f"{share:.1f}" for share in shares) + f", {np.mean([pairs for _, pairs in found]):.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--traces", type=Path, help="npz with recorded A/A duets")
    options = parser.parse_args()
    started = time.monotonic()
    print(f"FAIL / PASS / INCONCLUSIVE / INVALID in % of {options.repetitions} gates, then the mean pairs\n")
    for line in rows(options.repetitions, options.traces):
        print(line, flush=True)
    print(f"\n{time.monotonic() - started:.0f} s, single process")


if __name__ == "__main__":
    main()
