"""The loop of the live gate, against a runner that makes runs of chosen figures; real devices are tested elsewhere."""

import pytest

from seatrial_ci.gate import Outcome, judge
from seatrial_ci.gate.live import measure_until_decided
from seatrial_targets.budgets import Budgets


class ScriptedRunner:
    """Makes what is asked for from a maker of trials; ``broken`` kinds of run never count."""

    def __init__(self, maker, effect=0.0, sd=0.008, broken=(), separate=False):
        self.maker, self.effect, self.sd, self.broken, self.separate = maker, effect, sd, broken, separate
        self.asked = []

    @property
    def runs(self):
        return self.maker.runs

    def so_far(self):
        return self.maker.trial()

    def measure(self):
        self.solo(3)
        self.memory(1)

    def pairs_made(self):
        trial = self.so_far()
        return len(trial.of("duet")) + len({run.pair for run in trial.of("solo") if run.pair is not None})

    def pairs(self, count):
        self.asked.append(("pairs", count))
        for pair in range(self.pairs_made(), count):
            if "duet" in self.broken:
                self.maker.run("duet", {"a": "candidate", "b": "baseline"}, None, status="timeout")
            elif self.separate:
                for bundle in ("candidate", "baseline"):
                    self.maker.solo(bundle=bundle, pair=pair)
            else:
                self.maker.duets(1, self.effect, self.sd)

    def solo(self, count):
        self.asked.append(("solo", count))
        while len([run for run in self.so_far().of("solo", "candidate") if run.pair is None]) < count:
            self.maker.solos(1)

    def memory(self, count):
        self.asked.append(("memory", count))
        while len(self.so_far().of("memory", "candidate")) < count:
            self.maker.memory(100_000_000)

    def energy(self, count):
        self.asked.append(("energy", count))


def test_an_obvious_case_ends_at_the_first_looks(maker):
    runner = ScriptedRunner(maker)
    measure_until_decided(runner, Budgets())
    assert judge(runner.so_far(), Budgets()).outcome is Outcome.PASS
    assert runner.pairs_made() in (8, 16)


def test_noise_ends_at_the_last_look(maker):
    runner = ScriptedRunner(maker, effect=0.03, sd=0.3)
    measure_until_decided(runner, Budgets())
    assert [count for what, count in runner.asked if what == "pairs"] == [8, 16, 32, 64]
    assert judge(runner.so_far(), Budgets()).outcome is Outcome.INCONCLUSIVE


def test_separate_pairs_end_too(maker):
    runner = ScriptedRunner(maker, separate=True)
    measure_until_decided(runner, Budgets())
    verdict = judge(runner.so_far(), Budgets())
    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].method == "separate ABBA"


def test_memory_runs_are_made_until_they_suffice(maker):
    runner = ScriptedRunner(maker)
    budgets = Budgets.model_validate({"peak_memory": "200 MB", "regression": None})
    measure_until_decided(runner, budgets)
    assert judge(runner.so_far(), budgets).outcome is Outcome.PASS
    assert len(runner.so_far().of("memory")) == 3


@pytest.mark.parametrize("budget", [{"energy_per_inference": "1 J"}, {"latency_p99": "1 s"}])
def test_what_can_never_be_measured_does_not_go_on_for_ever(maker, budget):
    runner = ScriptedRunner(maker, broken=("duet",))
    budgets = Budgets.model_validate(budget)
    measure_until_decided(runner, budgets)
    assert len(runner.runs) < 100
    assert judge(runner.so_far(), budgets).outcome is Outcome.INVALID
