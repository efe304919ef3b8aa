"""The gate on a live device: measure to the next look, judge, go on only while something is undecided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial_ci.gate.judge import DEFAULT, Wanted, runs_wanted
from seatrial_ci.gate.settings import GateSettings
from seatrial_runner.trial import TrialRunner

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets


def measure_until_decided(runner: TrialRunner, budgets: Budgets, settings: GateSettings = DEFAULT) -> None:
    """Make the runs that every trial has, then those that undecided metrics want, look by look.

    Ends when all is decided, when the last look is made, or when a round added no run that counts. Raises what the
    runner raises; the runs made until then are kept by it.
    """
    runner.measure()
    while wanted := runs_wanted(runner.so_far(), budgets, settings):
        before = _counting(runner)
        _make(runner, wanted)
        if _counting(runner) == before:
            break


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
