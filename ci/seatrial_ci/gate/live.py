"""The gate on a live device: measure to the next look, judge, go on only while something is undecided."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from seatrial_ci.gate.forecast import forecast, look_text, open_checks, plan_text
from seatrial_ci.gate.judge import DEFAULT, Wanted, judge, runs_wanted
from seatrial_ci.gate.settings import GateSettings
from seatrial_runner.trial import TrialRunner

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets

Tell = Callable[[str], None]


def silent(text: str) -> None:
    """Tell nobody: the default for programs."""


def measure_until_decided(
    runner: TrialRunner, budgets: Budgets, settings: GateSettings = DEFAULT, tell: Tell = silent
) -> None:
    """Make the runs that every trial has, then those that undecided metrics want, look by look.

    Ends when all is decided, when the last look is made, or when a round added no run that counts. ``tell`` gets the
    plan, and at each look that decides nothing what it saw and the time left. Raises what the runner raises; the runs
    made until then are kept by it.
    """
    if tell is not silent:
        bundles = len(runner.so_far().bundles)
        tell(plan_text(runner.plan, bundles, settings, bundles == 2 and budgets.regression is not None))
    runner.measure()
    while wanted := runs_wanted(runner.so_far(), budgets, settings):
        _tell_look(runner, budgets, settings, wanted, tell)
        before = _counting(runner)
        _make(runner, wanted)
        if _counting(runner) == before:
            break


def _tell_look(runner: TrialRunner, budgets: Budgets, settings: GateSettings, wanted: Wanted, tell: Tell) -> None:
    if tell is silent:
        return
    trial = runner.so_far()
    checks = judge(trial, budgets, settings).checks
    ahead = forecast(trial, wanted, settings)
    tell(look_text(next(open_checks(checks), None), ahead))


def _make(runner: TrialRunner, wanted: Wanted) -> None:
    trial = runner.so_far()
    if wanted.duets or wanted.pairs:
        runner.pairs(runner.pairs_made() + (wanted.duets or wanted.pairs))
    if wanted.solos:
        runner.solo(len([run for run in trial.of("solo", "candidate") if run.pair is None]) + wanted.solos)
    if wanted.memories:
        runner.memory(len(trial.of("memory", "candidate")) + wanted.memories)
    if wanted.energies:
        runner.energy(len(trial.of("energy", "candidate")) + wanted.energies)


def _counting(runner: TrialRunner) -> int:
    return sum(run.counts for run in runner.runs)
