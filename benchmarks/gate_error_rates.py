"""How often is the gate wrong, and how many runs does it take? On simulated and recorded devices, beside other rules.

    python benchmarks/gate_error_rates.py --repetitions 200 --plots benchmarks/plots > tables.md
    python benchmarks/gate_error_rates.py --only "run sd 3 %" --repetitions 800 --seed 1    # more gates of one row

Each repetition is a live gate: it makes the runs that `runs_wanted` asks for, until nothing is wanted, and is judged by
`judge`; no rule is written down here again. gate_devices.py tells what the simulated devices do, gate_rivals.py the
other rules. The recorded traces are those of data/aa_noisy_vm.npz: A/A, so that every FAIL at +0 % is a false alarm; a
slow-down is put in by multiplying the candidate's times. What is finished is kept in --cells, so that it goes on where
it was stopped.

Goals: at ignore 1 %, margin 5 %, FAIL at a true 0 and +1 % in at most 1 %, at +5 % in at least 99 % for run sd <= 3 %;
at ignore .5 %, margin 2 % by duets the same at 0 and +.5 %, and at +2 %. INVALID where the device says that it
throttled.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gate_plots as plots  # noqa: E402  (files beside this one)
import gate_rivals as rivals  # noqa: E402
from gate_devices import DUET_SDS, KINDS, RUN_SDS, THROTTLED, Device, Floats, Session, duet_run, empty_trial, solo_run  # noqa: E402
from seatrial_ci.gate import GateSettings, judge, runs_wanted  # noqa: E402
from seatrial_ci.gate.verdict import RULE  # noqa: E402
from seatrial_runner.records import Run  # noqa: E402
from seatrial_targets.budgets import Budgets  # noqa: E402

DATA = HERE / "data" / "aa_noisy_vm.npz"
CELLS = Path("build/gate-error-rates.json")
OUTCOMES = ("FAIL", "PASS", "INCONCLUSIVE", "INVALID")
DEFAULT, FINE = (0.01, 0.05), (0.005, 0.02)  # ignore, margin
EFFECTS = {DEFAULT: (0.0, 0.01, 0.02, 0.03, 0.05), FINE: (0.0, 0.005, 0.01, 0.02)}
SEED = 2026
SOLOS = 5  # of each side before the duets, as the default plan makes them: the duets are checked against them
MORE = 5  # times the repetitions for the effects that the goals are about
Maker = Callable[[list[Run], int], None]


def gate(
    make: Maker, way: str, rule: tuple[float, float], throttled: bool = False, runs: list[Run] | None = None
) -> tuple[str, int]:
    """Measure and judge once, as a live gate does. ``make`` adds that many pairs. Returns the outcome and the runs."""
    budgets = Budgets.model_validate({"regression": {"ignore": rule[0], "margin": rule[1]}})
    settings = GateSettings(comparison="duet" if way == "duets" else "separate")
    made = list(runs or [])
    trial = empty_trial(throttled).model_copy(update={"runs": tuple(made)})
    while wanted := runs_wanted(trial, budgets, settings):
        make(made, wanted.duets or wanted.pairs)
        trial = trial.model_copy(update={"runs": tuple(made)})
    return judge(trial, budgets, settings).outcome.value, len(made)


def simulated(
    device: Device, way: str, rule: tuple[float, float], effect: float, rng: np.random.Generator
) -> tuple[str, int]:
    """Run one gate on a simulated device."""
    session = Session(device, rng, effect)
    if way == "duets":
        before = [solo_run(i, session.solo(i % 2 == 0), i % 2 == 0) for i in range(2 * SOLOS)]

        def duets(made: list[Run], count: int) -> None:
            for _ in range(count):
                first = len(made) % 2 == 0
                made.append(duet_run(len(made), *session.duet(first), first))

        return gate(duets, way, rule, device.throttles, before)

    def pairs(made: list[Run], count: int) -> None:
        for pair in range(len(made) // 2, len(made) // 2 + count):
            for candidate in (True, False) if pair % 2 == 0 else (False, True):
                made.append(solo_run(len(made), session.solo(candidate), candidate, pair))

    return gate(pairs, way, rule, device.throttles)


def recorded(
    way: str, rule: tuple[float, float], effect: float, data: dict[str, Floats]
) -> tuple[Counter[str], list[int]]:
    """Run a gate on the recorded pairs from each place on from which there are 64; the stretches overlap."""
    outcomes: Counter[str] = Counter()
    runs: list[int] = []
    pairs = _duets(data, effect) if way == "duets" else _abba(data, effect)
    for start in range(0, len(pairs) - 63, 2):
        made, index = [], iter(pairs[start:])

        def make(runs_made: list[Run], count: int, index: Iterator[Callable[[int], list[Run]]] = index) -> None:
            for _ in range(count):
                runs_made += next(index)(len(runs_made))

        outcome, used = gate(make, way, rule, runs=made)
        outcomes[outcome] += 1
        runs.append(used)
    return outcomes, runs


def _duets(data: dict[str, Floats], effect: float) -> list[Callable[[int], list[Run]]]:
    """Return a maker of each duet. A was always first: who is called candidate alternates, as if the order did."""
    a, b = (data[key].reshape(-1, data[key].shape[-1]) for key in ("duet_a_ns", "duet_b_ns"))

    def maker(i: int) -> Callable[[int], list[Run]]:
        one, other, first = (a[i], b[i], True) if i % 2 == 0 else (b[i], a[i], False)
        return lambda index: [duet_run(index, one * (1 + effect), other, first)]

    return [maker(i) for i in range(len(a))]


def _abba(data: dict[str, Floats], effect: float) -> list[Callable[[int], list[Run]]]:
    """Return a maker of each pair of neighbouring runs; the order alternates."""
    runs = data["interleaved_solo_ns"].reshape(-1, data["interleaved_solo_ns"].shape[-1])

    def maker(i: int) -> Callable[[int], list[Run]]:
        one, other = runs[2 * i], runs[2 * i + 1]
        first = i % 2 == 0
        sides = ((one * (1 + effect), True), (other, False)) if first else ((one, False), (other * (1 + effect), True))
        return lambda index: [solo_run(index + k, x, c, index // 2) for k, (x, c) in enumerate(sides)]

    return [maker(i) for i in range(len(runs) // 2)]


class Cells:
    """Results by name, kept on disk as soon as they are there."""

    def __init__(self, path: Path, repetitions: int, seed: int = SEED) -> None:
        self.path, self.repetitions, self.seed = path, repetitions, seed
        self.kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def gate(self, device: Device, way: str, rule: tuple[float, float], effect: float) -> dict[str, float]:
        """Return shares of the outcomes in % and the mean number of runs; more repetitions where the goals are."""
        a_goal = device in (*RUN_SDS, *DUET_SDS) and effect in (0.0, rule[0], rule[1])
        count = self.repetitions * (MORE if a_goal else 1)

        def compute() -> dict[str, float]:
            rng = np.random.default_rng(self.seed)
            found = [simulated(device, way, rule, effect, rng) for _ in range(count)]
            return summary(Counter(o for o, _ in found), [runs for _, runs in found])

        seeded = "" if self.seed == SEED else f" seed {self.seed}"
        return self._of(f"{RULE} {device} {way} {rule} {effect} {count}{seeded}", compute)

    def rival(self, name: str, device: Device, effect: float) -> float:
        """Return the share of fails in %."""

        def compute() -> float:
            rng = np.random.default_rng(SEED)
            return 100 * float(np.mean([rivals.simulated(name, device, rng, effect) for _ in range(self.repetitions)]))

        return float(self._of(f"{name} {device} {effect} {self.repetitions}", compute))

    def _of(self, key: str, compute: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.kept))
        return self.kept[key]


def summary(outcomes: Counter[str], runs: list[int]) -> dict[str, float]:
    """Return shares in %, gates, and mean runs."""
    total = sum(outcomes.values())
    shares = {outcome: 100 * outcomes[outcome] / total for outcome in OUTCOMES}
    return {**shares, "gates": total, "runs": float(np.mean(runs))}


def text(found: dict[str, float]) -> str:
    """Return 'FAIL / PASS / INCONCLUSIVE / INVALID, runs'."""
    return " / ".join(f"{found[o]:.1f}" for o in OUTCOMES) + f", {found['runs']:.0f}"


def error_rates(cells: Cells, way: str, rule: tuple[float, float], only: str = "") -> Iterator[str]:
    """Yield the table of a way of comparing and a rule; ``only`` names the one device to try."""
    effects = EFFECTS[rule]
    yield (
        f"| {way}, ignore {rule[0]:.1%}, margin {rule[1]:.0%} | " + " | ".join(f"true {e:+.1%}" for e in effects) + " |"
    )
    yield "|" + "---|" * (len(effects) + 1)
    for device in [each for each in devices_of(way) if only in ("", each.name)]:
        yield f"| {device.name} | " + " | ".join(text(cells.gate(device, way, rule, e)) for e in effects) + " |"


def devices_of(way: str) -> tuple[Device, ...]:
    """Return the devices that a way of comparing is tried on: those whose noise it feels."""
    return (*(RUN_SDS if way == "separate pairs" else DUET_SDS), *KINDS)


def beside_rivals(cells: Cells) -> Iterator[str]:
    """Yield the table of all rules: fails in % at a true 0 and at +5 %, and the runs that a verdict takes."""
    names = list(rivals.RULES)
    yield "| FAIL in %, at +0 / +5 % | " + " | ".join([*names, "Seatrial, separate pairs", "Seatrial, duets"]) + " |"
    yield "|" + "---|" * (len(names) + 3)
    for device in (*RUN_SDS, *KINDS):
        row = [" / ".join(f"{cells.rival(name, device, e):.1f}" for e in (0.0, 0.05)) for name in names]
        for way in ("separate pairs", "duets"):
            both = [cells.gate(device, way, DEFAULT, e) for e in (0.0, 0.05)]
            row.append(" / ".join(f"{each['FAIL']:.1f}" for each in both))
        yield f"| {device.name} | " + " | ".join(row) + " |"
    runs = [f"{stored} + {new}" for _, stored, new in rivals.RULES.values()]
    for way in ("separate pairs", "duets"):
        used = [cells.gate(device, way, DEFAULT, 0.0)["runs"] for device in (*RUN_SDS, *KINDS)]
        runs.append(f"{min(used):.0f} to {max(used):.0f}")
    yield "| runs for a verdict | " + " | ".join(runs) + " |"


def on_recorded(data: dict[str, Floats]) -> Iterator[str]:
    """Yield the table of all rules on the recorded traces."""
    yield "| on the recorded runs | stretches | FAIL at +0 % | at +5 % | others at +5 % | mean runs at +0 / +5 % |"
    yield "|---|---|---|---|---|---|"
    for name, (_, stored, new) in rivals.RULES.items():
        found = [rivals.recorded(name, data["solo_runs_ns"], e) for e in (0.0, 0.05)]
        shares = [f"{100 * fails / count:.1f} %" for fails, count in found]
        yield f"| {name} | {found[0][1]} | {shares[0]} | {shares[1]} | | {stored + new} |"
    for way, rule in (("separate pairs", DEFAULT), ("duets", DEFAULT), ("duets", FINE)):
        both = [summary(*recorded(way, rule, e, data)) for e in (0.0, rule[1])]
        others = f"PASS {both[1]['PASS']:.1f}, INCONCLUSIVE {both[1]['INCONCLUSIVE']:.1f} %"
        name = f"Seatrial, {way}" + (" (margin and slow-down 2 %)" if rule == FINE else "")
        shares = " | ".join(f"{each['FAIL']:.1f} %" for each in both)
        yield f"| {name} | {both[0]['gates']} | {shares} | {others} | {both[0]['runs']:.0f} / {both[1]['runs']:.0f} |"


def load() -> dict[str, Floats]:
    """Return the recorded traces, as floats."""
    with np.load(DATA, allow_pickle=False) as data:
        return {key: data[key].astype(np.float64) for key in data}


def draw(cells: Cells, folder: Path) -> None:
    """Draw FAIL against the true slow-down, for run sd 1 to 5 %."""
    panels = []
    for way, rule, top in (("separate pairs", DEFAULT, 5), ("duets", DEFAULT, 5), ("duets", FINE, 2)):
        series = {
            device.name: [(100 * e, cells.gate(device, way, rule, e)["FAIL"]) for e in EFFECTS[rule]]
            for device in devices_of(way)[:4]
        }
        title = f"FAIL, % of gates: {way}, ignore {rule[0]:.1%}, margin {rule[1]:.0%}"
        ticks = ([100 * e for e in EFFECTS[rule]], [0, 25, 50, 75, 100])
        panels.append(plots.lines(title, "true slow-down, %", series, (0, top), (0, 100), ticks, (1, 99)))
    plots.save(folder / "gate_error_rates.svg", plots.document(panels, "FAIL verdicts by the true slow-down"))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--only", default="", help="name of the one device, for its rows alone")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    started = time.monotonic()
    cells = Cells(options.cells, options.repetitions, options.seed)
    print(
        f"FAIL / PASS / INCONCLUSIVE / INVALID in % of {options.repetitions} gates ({MORE} times as many at the goals),"
    )
    print("then the mean number of runs, solo runs included.\n")
    for way, rule in (("separate pairs", DEFAULT), ("duets", DEFAULT), ("duets", FINE)):
        for line in error_rates(cells, way, rule, options.only):
            print(line, flush=True)
        print()
    if options.only:
        return
    print(f"A device that says that it throttled, at +5 %: {text(cells.gate(THROTTLED, 'duets', DEFAULT, 0.05))}\n")
    for lines in (beside_rivals(cells), on_recorded(load())):
        for line in lines:
            print(line, flush=True)
        print()
    if options.plots:
        draw(cells, options.plots)
    print(f"{time.monotonic() - started:.0f} s, single process", file=sys.stderr)


if __name__ == "__main__":
    main()
