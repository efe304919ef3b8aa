"""The gate on this machine, with a real model, agent and runtime: false alarms, and slow-downs that are really there.

    python benchmarks/gate_end_to_end.py run --aa 200 --slow 40     # goes on where it was stopped
    python benchmarks/gate_end_to_end.py report

A/A: a bundle beside a copy of it whose bytes differ (other metadata) and whose work does not: every FAIL is a false
alarm. Slow-downs of 3, 5 and 10 %: an agent that is built here, and nowhere else, with `slowed_agent.c` does so much
busy work after each inference of the candidate. How much work is how slow is measured first, by duets at about +50 %,
and scaled. All gates are `seatrial.gate` with its default settings and short runs, the kinds in turn, so that they see
the same machine. The model is small (three convolutions, 96 x 96 pixels, FP32), exported by Seatrial; the device is
this machine.

Each gate is a line of WORK/gates.jsonl: outcome, pairs, and the figure of each pair, so that other rules can be tried
on the same runs. `report` prints Markdown; with --plots FOLDER it draws, too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seatrial_ci.figures import duet_log_ratios
from seatrial_ci.gate import GateSettings
from seatrial_ci.gate.verdict import Verdict
from seatrial_ci.statistics.sequential import SequentialRule, replay
from seatrial_runner.records import Trial

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gate_plots as plots  # noqa: E402  (a file beside this one)

WORK = Path("build/gate-end-to-end")
EFFECTS = (0.03, 0.05, 0.10)
PROBE, PROBE_PAIRS = 0.5, 24
PLAN = {
    "solo_runs": 3,
    "solo_iterations": 60,
    "duet_iterations": 100,
    "memory_runs": 0,
    "energy_runs": 0,
    "warmup_iterations": 10,
    "warmup_min_ns": 20_000_000,
    "warmup_max_ns": 200_000_000,
    "duet_warmup_max_ns": 200_000_000,
}
BUDGETS = "regression: {}\n"
DEVICE = "this-machine"


def prepare(work: Path) -> None:
    """Export the model, copy its bundle, build the agent that can be slowed, and use it instead of the shipped one."""
    import seatrial
    from seatrial_runner.agent import build
    from seatrial_runner.runtime import onnxruntime

    work.mkdir(parents=True, exist_ok=True)
    (work / "budgets.yaml").write_text(BUDGETS)
    target = {"x86_64": "x86-64-cpu-fp32", "aarch64": "arm64-cpu-fp32"}[platform.machine()]
    # A folder of its own on the device: whoever else measures on this machine disturbs, as it is meant to, and no more.
    device = {"target": target, "transport": "local", "root": str((work / "device").resolve())}
    (work / "devices.yaml").write_text(json.dumps({"devices": {DEVICE: device}}))
    baseline = work / f"small.{target}"
    if not baseline.exists():
        seatrial.export(f"{HERE / 'gate_small_model.py'}:build", target, work, name="small")
    if not (work / "copy").exists():
        copy(baseline, work / "copy")
    agent = work / f"agent-{platform.machine()}"
    if not agent.exists():
        build.build(platform.machine(), agent, ["-DSEATRIAL_SLOWED"], [HERE / "slowed_agent.c"])
        agent.chmod(0o755)
    onnxruntime.native_agent = lambda machine: agent  # type: ignore[assignment]


def copy(baseline: Path, out: Path) -> None:
    """Write a bundle that does the same work from other bytes: a note in the model's metadata makes the difference."""
    import onnx

    from seatrial_runner.bundle import Bundle, Content, write_bundle

    opened = Bundle.open(baseline)
    contents = {}
    for entry in opened.manifest.files:
        data = opened.file(entry.path).read_bytes()
        if entry.path == opened.manifest.artifact:
            model = onnx.load_from_string(data)
            model.doc_string = "a copy"
            data = model.SerializeToString()
        contents[entry.path] = Content(entry.role, data)
    made = ("files", "digest", "size_bytes", "schema")
    fields = {k: v for k, v in opened.manifest.model_dump(mode="json", by_alias=True).items() if k not in made}
    write_bundle(out, contents, fields)


def slow(work: Path, rounds: int) -> None:
    """Let the agents that are started from now on do so much busy work after each inference of the copy."""
    from seatrial_runner.bundle import Bundle

    opened = Bundle.open(work / "copy")
    artifact = next(entry for entry in opened.manifest.files if entry.path == opened.manifest.artifact)
    os.environ["SEATRIAL_SLOWED_MODEL"] = artifact.sha256[:16]
    os.environ["SEATRIAL_SLOWED_ROUNDS"] = str(rounds)


def rounds_per_one(work: Path) -> float:
    """Return how many rounds of busy work take as long as one inference, measured once and kept."""
    kept = work / "rounds.json"
    if kept.exists():
        return float(json.loads(kept.read_text())["rounds"])
    rounds = 10_000.0
    for _ in range(4):  # towards the probe, at which the last one is measured
        slow(work, round(rounds))
        ratio = math.expm1(float(np.median(duet_log_ratios(measure(work, PROBE_PAIRS)).values)))
        rounds *= PROBE / max(ratio, 0.005)
    slow(work, round(rounds))
    figures = duet_log_ratios(measure(work, 2 * PROBE_PAIRS)).values
    ratio = math.expm1(float(np.median(figures)))
    error = float(figures.std(ddof=1)) / math.sqrt(len(figures)) * (1 + ratio) / ratio
    found = {"rounds": rounds / ratio, "probe": ratio, "relative_error": error}
    kept.write_text(json.dumps(found))
    print(f"{rounds / ratio:.0f} rounds take as long as an inference (+- {error:.1%})", flush=True)
    return rounds / ratio


def measure(work: Path, pairs: int) -> Trial:
    """Make duets alone and return them."""
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.plan import Plan
    from seatrial_runner.trial import open_trial
    from seatrial_targets import inventory

    bundles = {"candidate": Bundle.open(work / "copy"), "baseline": Bundle.open(_baseline(work))}
    with open_trial(inventory.load(work / "devices.yaml").get(DEVICE), bundles, Plan(**PLAN)) as runner:  # type: ignore[arg-type]
        runner.pairs(pairs)
    return runner.trial


def gate(work: Path) -> tuple[Trial, Verdict, float]:
    """Run one gate. Returns its trial, verdict and seconds."""
    import seatrial

    began = time.monotonic()
    trial, verdict = seatrial.gate(
        work / "copy",
        _baseline(work),
        DEVICE,
        work / "budgets.yaml",
        inventory=work / "devices.yaml",
        plan=PLAN,
        settings=GateSettings(),
    )
    return trial, verdict, time.monotonic() - began


def _baseline(work: Path) -> Path:
    return next(work.glob("small.*"))


def run(work: Path, aa: int, slowed: int) -> None:
    """Run the gates that are still missing, their kinds in turn."""
    prepare(work)
    one = rounds_per_one(work)
    for effect in missing(work, aa, slowed):
        slow(work, round(one * effect))
        trial, verdict, seconds = gate(work)
        with (work / "gates.jsonl").open("a") as stream:
            stream.write(json.dumps(line(effect, trial, verdict, seconds)) + "\n")
        print(f"{time.strftime('%H:%M:%S')} {effect:.0%}: {verdict.outcome.value} {seconds:.0f} s", flush=True)


def line(effect: float, trial: Trial, verdict: Verdict, seconds: float) -> dict[str, Any]:
    """Return what is kept of a gate."""
    check = next(each for each in verdict.checks if each.metric == "latency_regression")
    series = duet_log_ratios(trial)
    return {
        "effect": effect,
        "outcome": verdict.outcome.value,
        "reasons": verdict.reasons,
        "pairs": check.pairs,
        "made": len(series.values),
        "value": check.value,
        "low": check.low,
        "high": check.high,
        "noise_sd": check.noise_sd,
        "seconds": round(seconds, 2),
        "ratios": [round(float(x), 6) for x in series.values],
        "order": list(series.order),
        "notes": verdict.notes,
        "unix_s": round(time.time()),
    }


def missing(work: Path, aa: int, slowed: int) -> Iterator[float]:
    """Yield the effects of the gates to run: A/A ones, and between them a slowed one of each kind in turn."""
    had = Counter(each["effect"] for each in read(work))
    wanted = {0.0: aa, **dict.fromkeys(EFFECTS, slowed)}
    shares = [(i / count, effect) for effect, count in wanted.items() for i in range(had[effect], count)]
    yield from (effect for _, effect in sorted(shares))


def read(work: Path) -> list[dict[str, Any]]:
    """Return the gates that were run until now."""
    path = work / "gates.jsonl"
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def report(work: Path, folder: Path | None) -> Iterator[str]:
    """Yield the lines of the result."""
    gates = read(work)
    yield "| true slow-down | gates | FAIL | PASS | INCONCLUSIVE | INVALID | mean pairs | median s | noise |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for effect in (0.0, *EFFECTS):
        yield row(effect, [each for each in gates if each["effect"] == effect])
    yield ""
    yield from order_lines(gates)
    if folder:
        plots.save(folder / "gate_end_to_end.svg", plots.end_to_end(gates))


def row(effect: float, gates: Sequence[dict[str, Any]]) -> str:
    """Return the row of one effect."""
    if not gates:
        return f"| {effect:+.0%} | 0 | | | | | | | |"
    counts = Counter(each["outcome"] for each in gates)
    shares = [
        f"{counts[o]} ({100 * counts[o] / len(gates):.1f} %)" for o in ("FAIL", "PASS", "INCONCLUSIVE", "INVALID")
    ]
    noise = statistics.median(each["noise_sd"] for each in gates if each["noise_sd"] is not None)
    pairs = statistics.mean(each["made"] for each in gates)
    seconds = statistics.median(each["seconds"] for each in gates)
    return f"| {effect:+.0%} | {len(gates)} | {' | '.join(shares)} | {pairs:.0f} | {seconds:.0f} | {noise:.1%} |"


def order_lines(gates: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what taking the effect of the order out changed, on the very same pairs."""
    rule = SequentialRule()
    yield "| order | pairs used, mean | decided otherwise |"
    yield "|---|---|---|"
    usable = [each for each in gates if each["made"] >= rule.looks[0]]
    found = {
        name: [replay(each["ratios"], rule, each["order"] if taken else None) for each in usable]
        for name, taken in (("left in", False), ("taken out", True))
    }
    other = sum(a.decision != b.decision for a, b in zip(*found.values(), strict=True))
    for name, replays in found.items():
        used = statistics.mean(each.looks[-1].pairs for each in replays) if replays else 0
        yield f"| {name} | {used:.1f} | {other if name == 'taken out' else ''} |"


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--aa", type=int, default=200)
    parser.add_argument("--slow", type=int, default=40, help="gates of each slow-down")
    parser.add_argument("--plots", type=Path)
    options = parser.parse_args()
    if options.what == "run":
        run(options.work.resolve(), options.aa, options.slow)  # the compiler is started in another folder
    else:
        print("\n".join(report(options.work, options.plots)))


if __name__ == "__main__":
    main()
