"""The noise of a device from a bundle beside itself, and what it lets one see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from made_trials import MS, TrialMaker
from seatrial_ci.gate import GateSettings
from seatrial_ci.gate.calibration import calibration_problems, insensitive, noises
from seatrial_ci.statistics.sequential import replay
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets


def aa(maker: TrialMaker, pairs: int = 32, sd: float = 0.008, effect: float = 0.0, **changes: object) -> Trial:
    maker.solos(10).solos(10, bundle="baseline").duets(pairs, effect, sd)
    same = maker.trial().bundles["candidate"]
    return maker.trial(bundles={"candidate": same, "baseline": same}, **changes)


def test_the_noise_that_was_put_in_is_found(maker: TrialMaker) -> None:
    found = {noise.metric: noise for noise in noises(aa(maker, 400, 0.02))}
    assert found["latency_p50"].method == "duet"
    assert found["latency_p50"].sd == pytest.approx(0.02 / math.sqrt(0.93), rel=0.1)
    assert found["latency_p50"].sd < found["latency_p50"].sd_high < 0.025
    assert found["latency_p90"].sd == pytest.approx(0.005, rel=0.4)
    assert set(found) == {"latency_p50", "latency_p90", "cold_load", "throughput"}


def test_the_upper_bound_of_the_noise_is_that_of_chi_squared(maker: TrialMaker) -> None:
    noise = next(each for each in noises(aa(maker)) if each.metric == "throughput")
    df = 18
    assert noise.sd_high == pytest.approx(noise.sd * math.sqrt(df / stats.chi2.ppf(0.05, df)))


def test_the_least_effect_is_found_99_times_of_100(maker: TrialMaker) -> None:
    noise = noises(aa(maker, 1000, 0.03))[0]
    settings = GateSettings()
    effect = math.log1p(noise.mde(settings, 0.01))
    rng = np.random.default_rng(1)
    order = np.where(np.arange(64) % 2 == 0, 1, -1)
    draws = effect + 0.03 * rng.standard_normal((800, 64))
    assert np.mean([replay(x, settings.rule(0.01, 0.0101), order).decision == "fail" for x in draws]) > 0.97


def test_a_quiet_device_is_fit(maker: TrialMaker) -> None:
    assert calibration_problems(aa(maker)) == ()


def test_a_biased_device_is_not(maker: TrialMaker) -> None:
    (problem,) = calibration_problems(aa(maker, effect=0.026))
    assert "differs from itself by +2.7" in problem
    assert "duet comparisons are biased" in problem


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda maker: maker.duets(32).trial(), "no A/A trial"),
        (lambda maker: maker.duets(32).trial(baseline=False), "no A/A trial"),
        (lambda maker: aa(maker, pairs=8), "at least 16"),
        (lambda maker: aa(maker, status="timeout", reason="stuck"), "ended early"),
        (
            lambda maker: aa(maker, after=maker.trial().after.model_copy(update={"throttled": True})),
            "throttled",
        ),
    ],
)
def test_what_can_not_serve(maker: TrialMaker, make: object, said: str) -> None:
    assert said in calibration_problems(make(maker))[0]  # type: ignore[operator]


def test_a_margin_that_can_not_be_shown_is_named_with_what_it_takes(maker: TrialMaker) -> None:
    trial = aa(maker, 64, 0.05)
    (problem,) = insensitive(trial, Budgets(), GateSettings())
    assert "lab-pi can't show a worsening of 5 % in latency p50" in problem
    needed = int(problem.split("that takes ")[1].split(" pairs")[0])
    assert 64 < needed < 160
    assert insensitive(trial, Budgets(), GateSettings(looks=(16, needed + 24))) == ()
    assert insensitive(aa(TrialMaker(), 64, 0.008), Budgets(), GateSettings()) == ()


def test_other_metrics_have_their_own_noise(maker: TrialMaker) -> None:
    maker.solos(10, 10 * MS, 0.2).solos(10, 10 * MS, 0.2, bundle="baseline")
    trial = aa(maker)
    limits = Budgets.model_validate({"regressions": {"latency_p90": {"margin": "5 %"}, "size": {}}})
    (problem,) = insensitive(trial, limits, GateSettings())
    assert "latency p90" in problem
    assert "(--looks)" not in problem
