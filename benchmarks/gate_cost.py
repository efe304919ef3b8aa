"""What a verdict and a look into the history cost: time and memory.

    python benchmarks/gate_cost.py                     # SQLite
    python benchmarks/gate_cost.py --postgresql        # a server of its own, too; needs PostgreSQL installed

To be: a verdict from a recorded trial of 64 pairs in under 1 s and 150 MB, the whole process; a query over a history of
100,000 runs (4,000 trials of 25) in under 200 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]

from made_trials import TrialMaker  # noqa: E402  (the tests' own maker of trials)
from seatrial_ci.gate import judge  # noqa: E402
from seatrial_ci.history import History  # noqa: E402
from seatrial_ci.history.trend import trends  # noqa: E402
from seatrial_runner.records import Trial  # noqa: E402
from seatrial_targets.budgets import Budgets  # noqa: E402

PROGRAM = Path(sys.executable).with_name("seatrial")
TRIALS, ROUNDS = 4000, 15
DAY_NS = 86_400 * 10**9


def verdict_cost(trial: Path) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak MB of one `seatrial gate --from`."""
    null = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (1, 2)]
    began = time.monotonic()
    words = [str(PROGRAM), "gate", "--from", str(trial)]
    child = os.posix_spawn(PROGRAM, words, os.environ, file_actions=actions)
    _, _, usage = os.wait4(child, 0)
    os.close(null)
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def long_trial() -> Trial:
    """Return a trial of 64 pairs that decide nothing before the last look, with memory and solo runs."""
    maker = TrialMaker()
    for i in range(3):
        maker.memory(50_000_000 + i)
        maker.memory(50_000_000 + i, "baseline")
    maker.solos(5, n=200).solos(5, bundle="baseline", n=200)
    for noise in maker.rng.standard_normal(64):
        maker.duet(0.03 + 0.1 * float(noise), n=60)
    return maker.trial()


def fill(history: History) -> None:
    """Add 4,000 trials of 25 runs on 20 devices."""
    maker = TrialMaker().solos(5).solos(5, bundle="baseline").duets(12)
    for i in range(3):
        maker.memory(50_000_000 + i)
    base = maker.trial()
    verdict = judge(base, Budgets())
    for i in range(TRIALS):
        device = base.device.model_copy(update={"name": f"device-{i % 20}"})
        when = i * DAY_NS // 20
        trial = base.model_copy(update={"id": f"trial-{i}", "started_unix_ns": when, "device": device})
        labels = {"branch": "main" if i % 3 else f"feature-{i}", "commit": f"{i:040x}"}
        history.add(trial, verdict.model_copy(update={"trial_id": trial.id}), labels)


def queries(history: History) -> dict[str, Callable[[], object]]:
    """Return what commands and reports ask."""
    return {
        "the latest 20": lambda: history.list(20),
        "the latest 20 of a device": lambda: history.list(20, device="device-7"),
        "the latest 20 of a branch": lambda: history.list(20, branch="main"),
        "all of a device, 200": lambda: history.series("latency_p50", None, device="device-7"),
        "a trend of 1,000 points": lambda: history.series("latency_p50", 1000),
        "a trend of a device with its changes": lambda: trends(history.series("latency_p50", 200, device="device-7")),
        "one trial with its samples": lambda: history.trial("trial-1234"),
        "the verdict on a baseline": lambda: history.outcome_of("c" * 64, "device-7"),
    }


def rows(name: str, history: History) -> Iterator[str]:
    """Yield a row for each query: its median and its longest of 15, in ms."""
    for what, ask in queries(history).items():
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            ask()
            taken.append(1e3 * (time.perf_counter() - began))
        yield f"| {name} | {what} | {statistics.median(taken):.0f} | {max(taken):.0f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.json"
        path.write_text(long_trial().model_dump_json(by_alias=True))
        costs = [verdict_cost(path) for _ in range(ROUNDS)]
        print("| verdict from 64 pairs, whole process | median | most |\n|---|---|---|")
        for name, values in zip(("wall, s", "CPU, s", "peak memory, MB"), zip(*costs, strict=True), strict=True):
            print(f"| {name} | {statistics.median(values):.2f} | {max(values):.2f} |")
        print("\n| history of 100,000 runs | query | median ms | most ms |\n|---|---|---|---|")
        with History.open(Path(folder) / "h.sqlite") as history:
            fill(history)
            print("\n".join(rows("SQLite", history)), flush=True)
        if options.postgresql:
            from peers.postgres import Postgres

            server = Postgres()
            try:
                with History.open(server.new_database()) as history:
                    fill(history)
                    print("\n".join(rows("PostgreSQL", history)), flush=True)
            finally:
                server.remove()


if __name__ == "__main__":
    main()
