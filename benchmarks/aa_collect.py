"""Record an A/A trial: one bundle against itself, duets and solo runs interleaved in time, for `aa_noise.py`.

    python benchmarks/aa_collect.py demo-out/bundles/efficientnet-lite0.x86-64-cpu-int8 --cycles 200 --out aa.json
    python benchmarks/aa_noise.py aa.json

Each cycle is one duet run and one solo run of each side (their order swapped from cycle to cycle), 60 inferences per
run and side. Interleaving lets each way of comparing see the same machine: load, clocks, neighbours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from seatrial_runner.bundle import Bundle
from seatrial_runner.plan import Plan
from seatrial_runner.trial import open_trial
from seatrial_targets import inventory

PLAN = Plan(solo_iterations=60, duet_iterations=60, warmup_max_ns=1_000_000_000, duet_warmup_max_ns=1_000_000_000)


def main() -> None:
    """Collect and say where the trial lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--device", default="local")
    parser.add_argument("--out", type=Path, default=Path("aa.json"))
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    device = inventory.load().get(arguments.device)
    bundles = {"candidate": bundle, "baseline": bundle}
    with open_trial(device, bundles, PLAN, out=arguments.out, resume=arguments.resume) as runner:  # type: ignore[arg-type]
        for cycle in range(1, arguments.cycles + 1):
            runner.pairs(cycle)
            runner.solo(cycle)
            print(f"\rcycle {cycle} of {arguments.cycles}", end="", flush=True)
    print(f"\n{arguments.out}: {len(runner.trial.runs)} runs")


if __name__ == "__main__":
    main()
