"""How noisy is this device, by each way of comparing? From a trial whose two bundles are the same model (A/A).

    python benchmarks/aa_noise.py trial.json

The trial should hold solo runs that take turns and duet runs, interleaved in time, at least 200 of each. All figures
are of ln(candidate / baseline), whose true value is 0:

- plain runs: the p50 of each solo run against the mean of all;
- separate pairs: each two neighbouring solo runs of different bundles, in the order measured;
- duets: the median over quadruples, one figure per run.

Robust sd: 1.4826 times the median absolute deviation. Then the gate itself, on consecutive windows of the same data,
each as far as it would have gone live: at a true 0, every FAIL is a false alarm.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seatrial_ci.figures import duet_log_ratios, percentiles
from seatrial_ci.gate import load_trial
from seatrial_ci.statistics.mde import pairs_needed
from seatrial_ci.statistics.sequential import SequentialRule, replay
from seatrial_runner.records import Trial

Floats = NDArray[np.float64]
RULES = {"ignore 1 %, margin 5 %": SequentialRule(), "ignore .5 %, margin 2 %": SequentialRule(0.005, 0.02)}


def plain_runs(trial: Trial) -> Floats:
    """Return the log p50 of every solo run less their mean, in the order measured."""
    logs = [value for _, _, value in _solos(trial)]
    return np.array(logs) - np.mean(logs) if logs else np.empty(0)


def neighbours(trial: Trial) -> Floats:
    """Return ln(candidate / baseline) of neighbouring solo runs of different bundles; each run is used once."""
    found: list[float] = []
    waiting: tuple[str, float] | None = None
    for _, role, value in _solos(trial):
        if waiting is None or waiting[0] == role:
            waiting = (role, value)
            continue
        found.append(value - waiting[1] if role == "candidate" else waiting[1] - value)
        waiting = None
    return np.array(found)


def _solos(trial: Trial) -> list[tuple[int, str, float]]:
    sides = {"candidate": percentiles(trial, "candidate", 0.5), "baseline": percentiles(trial, "baseline", 0.5)}
    return sorted(
        (run.index, role, float(np.log(value)))
        for role, series in sides.items()
        for run, value in zip(series.runs, series.values, strict=True)
    )


def noise_table(figures: dict[str, Floats]) -> Iterator[str]:
    """Yield a Markdown table: n, bias, sd, robust sd, correlation with the next, pairs to see +5 % and +2 %."""
    yield "| way | n | bias | sd | robust sd | lag-1 correlation | pairs for +5 % | for +2 % |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, x in figures.items():
        if len(x) < 3:
            yield f"| {name} | {len(x)} | too few | | | | | |"
            continue
        sd = float(x.std(ddof=1))
        robust = 1.4826 * float(np.median(np.abs(x - np.median(x))))
        lag = float(np.corrcoef(x[:-1], x[1:])[0, 1]) if sd else 0.0
        needed = [pairs_needed(sd, float(np.log1p(e))) if name != "plain runs" else "-" for e in (0.05, 0.02)]
        shares = f"{x.mean():+.2%} | {sd:.2%} | {robust:.2%} | {lag:+.2f}"
        yield f"| {name} | {len(x)} | {shares} | {needed[0]} | {needed[1]} |"


def gate_table(figures: dict[str, Floats]) -> Iterator[str]:
    """Yield a Markdown table of what the sequential rule says on consecutive windows: every FAIL is a false alarm."""
    yield "| way | rule | gates | FAIL | PASS | undecided | mean pairs |"
    yield "|---|---|---|---|---|---|---|"
    for name, x in figures.items():
        for label, rule in RULES.items():
            outcomes, pairs = gates(x, rule)
            count = sum(outcomes.values())
            open_ = outcomes["inconclusive"]
            mean = f"{np.mean(pairs):.0f}" if pairs else "-"
            yield f"| {name} | {label} | {count} | {outcomes['fail']} | {outcomes['pass']} | {open_} | {mean} |"


def gates(figures: Floats, rule: SequentialRule) -> tuple[Counter[str], list[int]]:
    """Return the outcomes and pairs used of gates run one after the other over ``figures``, none used twice.

    A last gate that the data end before it is decided does not count.
    """
    outcomes: Counter[str] = Counter()
    pairs: list[int] = []
    start = 0
    while start < len(figures):
        found = replay(figures[start:], rule)
        if found.decision == "go on":
            break
        outcomes[found.decision] += 1
        pairs.append(found.looks[-1].pairs)
        start += pairs[-1]
    return outcomes, pairs


def report(trial: Trial) -> str:
    """Return the whole analysis as Markdown."""
    pairs = {"separate pairs": neighbours(trial), "duets": duet_log_ratios(trial).values}
    digests = {bundle.digest for bundle in trial.bundles.values()}
    lines = [f"A/A on {trial.device.name} ({trial.device.target}), {len(trial.runs)} runs\n"]
    if len(digests) != 1:
        lines.append("**The two bundles differ: this is not an A/A trial, and a bias is not an error.**\n")
    lines += [*noise_table({"plain runs": plain_runs(trial), **pairs}), "", *gate_table(pairs)]
    return "\n".join(lines)


def main() -> None:
    """Print the analysis of the trial file named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", type=Path)
    print(report(load_trial(parser.parse_args().trial)))


if __name__ == "__main__":
    main()
