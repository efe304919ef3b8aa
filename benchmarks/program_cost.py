"""What the program itself costs: CPU time of `--help`, and peak memory of the host's side of `bench` and `gate`.

    python benchmarks/program_cost.py BUNDLE BASELINE

CPU time is user + system of the whole process, from wait4; memory is its peak resident set.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("seatrial")
HELP_RUNS = 20


def cost(words: Sequence[str]) -> tuple[float, int, int]:
    """Run the program once. Return CPU seconds, peak resident bytes and exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    silent = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (1, 2)]
    child = os.posix_spawn(PROGRAM, [str(PROGRAM), *words], os.environ, file_actions=silent)
    os.close(null)
    _, status, usage = os.wait4(child, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)


def help_cpu_s(words: Sequence[str]) -> list[float]:
    """Return the CPU seconds of several runs, the first (which fills the file cache) left out."""
    return [cost(words)[0] for _ in range(HELP_RUNS + 1)][1:]


def main() -> None:
    """Measure and print a Markdown table."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    bundle, baseline = sys.argv[1:]
    print("| command | CPU ms, median (least) | peak memory, MB |\n|---|---|---|")
    for words in (["--help"], ["bench", "--help"], ["gate", "--help"]):
        taken = [1e3 * seconds for seconds in help_cpu_s(words)]
        print(f"| seatrial {' '.join(words)} | {statistics.median(taken):.0f} ({min(taken):.0f}) | |")
    with tempfile.TemporaryDirectory() as folder:
        quick = ["--device", "local", "--runs", "3", "--out", f"{folder}/trial.json"]
        reports = ["--html", f"{folder}/v.html", "--junit", f"{folder}/v.xml", "--no-history"]
        for words in (["bench", bundle, *quick], ["gate", bundle, "--baseline", baseline, *quick, *reports]):
            _, peak_bytes, code = cost(words)
            print(f"| seatrial {words[0]}, exit code {code} | | {peak_bytes / 1e6:.0f} |")


if __name__ == "__main__":
    main()
