"""What a report costs: time, memory and size of the page of a trial with 100,000 samples.

    python benchmarks/report_cost.py [--samples 100000] [--repeat 7]

The trial is made up: as many solo runs as hold the samples, both bundles taking turns, and 64 duets. `seatrial report`
runs as a user starts it, a process each time; CPU time is user + system of the whole process, from wait4, memory its
peak resident set. `start` is the same program with `--help` of that command: what Python and click alone cost.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from seatrial_runner.records import AgentResult, ArmResult, BundleInfo, DeviceInfo, Run, Trial

PROGRAM = Path(sys.executable).with_name("seatrial")
MS, SECOND = 1_000_000, 1_000_000_000
IN_A_RUN, DUETS = 400, 64


def made_up(samples: int) -> Trial:
    """Return a trial with this many samples in solo runs; runs scatter by 2 %, samples by 1 %."""
    rng = np.random.default_rng(7)

    def arm(center: float, count: int) -> ArmResult:
        walls = tuple(int(x) for x in center * np.exp(rng.standard_normal(count) * 0.01))
        return ArmResult(session_ns=20 * MS, first_ns=5 * MS, warmup_iterations=30, checks=(), wall_ns=walls)

    def result(**arms: ArmResult) -> AgentResult:
        return AgentResult(agent="native", agent_version="2", status="ok", runtime_version="1.22", arms=arms)

    runs: list[Run] = []
    for index in range(samples // IN_A_RUN + DUETS):
        duet = index >= samples // IN_A_RUN
        mood = 10 * MS * float(np.exp(rng.standard_normal() * 0.02))
        made = result(a=arm(mood, 60), b=arm(mood, 60)) if duet else result(a=arm(mood, IN_A_RUN))
        arms = {"a": "candidate", "b": "baseline"} if duet else {"a": ("candidate", "baseline")[index % 2]}
        base = {"index": index, "status": "ok", "started_unix_ns": (index + 1) * 5 * SECOND, "duration_ns": 4 * SECOND}
        runs.append(Run.model_validate({**base, "kind": "duet" if duet else "solo", "arms": arms, "result": made}))
    bundle = BundleInfo(digest="c" * 64, name="net", target="raspberry-pi-5-int8", precision="int8", size_bytes=5 * MS)
    return Trial(
        id="made-up",
        seatrial_version="0",
        started_unix_ns=SECOND,
        device=DeviceInfo(name="lab-pi", target="raspberry-pi-5-int8", transport="ssh"),
        bundles={"candidate": bundle, "baseline": bundle.model_copy(update={"digest": "b" * 64})},
        runs=tuple(runs),
    )


def cost(*words: str) -> tuple[float, float, float]:
    """Run the program once. Return wall seconds, CPU seconds, and peak resident MB."""
    null = os.open(os.devnull, os.O_WRONLY)
    began = time.perf_counter()
    argv = [str(PROGRAM), *words]
    child = os.posix_spawn(PROGRAM, argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    os.close(null)
    _, status, usage = os.wait4(child, 0)
    taken = time.perf_counter() - began
    if status:
        sys.exit(f"{' '.join(words)}: exit code {os.waitstatus_to_exitcode(status)}")
    return taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trial, page = Path(folder, "trial.json"), Path(folder, "page.html")
        trial.write_text(made_up(given.samples).model_dump_json(by_alias=True))
        words = ("report", str(trial), "--html", str(page), "--no-history")
        both = [(cost("report", "--help"), cost(*words)) for _ in range(given.repeat)]
        sizes = f"trial {trial.stat().st_size / 1e6:.2f} MB, page {page.stat().st_size / 1e3:.0f} kB"
        print(f"{given.samples:,} samples, {sizes}\n")
    print("| what | wall s, least (median) | CPU s, least (median) | peak memory, MB |\n|---|---|---|---|")
    for place, name in enumerate(("start", "report")):
        wall, cpu, memory = zip(*(pair[place] for pair in both), strict=True)
        times = " | ".join(f"{min(x):.2f} ({statistics.median(x):.2f})" for x in (wall, cpu))
        print(f"| {name} | {times} | {max(memory):.0f} |")


if __name__ == "__main__":
    main()
