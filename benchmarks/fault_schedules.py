"""Play random schedules of faults over real wires and publish what became of every promise.

    sudo python benchmarks/fault_schedules.py --count 1000 --out faults.jsonl
    python benchmarks/fault_schedules.py --table faults.jsonl

The wires: this machine itself, an sshd on loopback, and two devices of the lab (of this machine's architecture) behind
their own sshd and AOSP's adbd, each with a network of its own. A schedule is made again by its wire and its number.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from faults.harness import Outcome, play
from faults.schedule import WIRES, draw
from faults.stage import Stage

HEAD = (
    *("fault", "schedules", "ended well", "ended with an error", "killed"),
    *("longest recovery", "runs kept", "broken promises"),
)


def rows(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table in Markdown: a row for each kind of fault, alone or among others, and one for all."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    kinds = {line["id"]: {fault["kind"] for fault in line["schedule"]["faults"]} for line in lines}
    for kind in sorted(set.union(*kinds.values())):
        yield _row(kind, [line for line in lines if kind in kinds[line["id"]]])
    yield _row("**all**", lines)


def _row(name: str, lines: list[dict[str, Any]]) -> str:
    ends = Counter(line["first"] for line in lines)
    told = len(lines) - ends["ok"] - ends["killed"]
    recovery = max((line["recovery_s"] for line in lines), default=0.0)
    kept, broken = sum(line["runs_kept"] for line in lines), sum(bool(line["violations"]) for line in lines)
    cells = (name, len(lines), ends["ok"], told, ends["killed"], f"{recovery:.0f} s", kept, broken)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Play or tabulate; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="schedules in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="begin none later than after so many")
    parser.add_argument("--wires", default=",".join(WIRES))
    parser.add_argument("--out", type=Path, default=Path("faults.jsonl"))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        lines = [json.loads(line) | {"id": i} for i, line in enumerate(options.table.read_text().splitlines())]
        print("\n".join(rows(lines)))
        return int(any(line["violations"] for line in lines))
    numbers = range(options.first, options.first + options.count)
    return _play(options.wires.split(","), numbers, options.out, time.monotonic() + options.minutes * 60)


def _play(wires: list[str], numbers: range, out: Path, until: float) -> int:
    broken = 0
    with (
        tempfile.TemporaryDirectory(prefix="seatrial-faults-") as folder,
        out.open("a") as log,
        Stage(Path(folder)) as stage,
    ):
        for number in itertools.takewhile(lambda _: time.monotonic() < until, numbers):
            schedule = draw(number, wires[number % len(wires)])
            place = Path(folder) / f"schedule-{number}"
            place.mkdir()
            outcome = play(schedule, stage.world(schedule.wire), stage.bundles, place)
            log.write(json.dumps(asdict(outcome)) + "\n")
            log.flush()
            broken += bool(outcome.violations)
            _say(outcome)
            if outcome.violations:  # the folder goes with the stage: what the hosts said stays
                shutil.copytree(place, out.with_name(f"{out.name}-{schedule.wire}-{number}"), dirs_exist_ok=True)
            shutil.rmtree(place)
    return int(broken > 0)


def _say(outcome: Outcome) -> None:
    promises = "; ".join(outcome.violations) or "kept"
    print(
        f"{outcome.schedule}: {outcome.first}, {outcome.seconds:.1f} s, recovery {outcome.recovery_s:.1f} s: {promises}"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
