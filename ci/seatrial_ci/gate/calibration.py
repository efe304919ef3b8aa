"""What a device can show: the noise of a bundle against itself (A/A), and the least effect that it lets one see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scipy.special import chdtri

from seatrial_ci.figures import Series, comparison_of, duet_log_ratios, separate_log_ratios
from seatrial_ci.gate.absolute import METRICS, Metric
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.state import timing_problems, trial_problems
from seatrial_ci.gate.wording import between, exact, label, show
from seatrial_ci.gate.wording import noise as noise_text
from seatrial_ci.statistics.mde import minimum_detectable_effect, pairs_needed
from seatrial_ci.statistics.order import without_order
from seatrial_ci.statistics.runs import log_ratio_interval
from seatrial_ci.statistics.trimmed import trimmed_mean
from seatrial_ci.statistics.validity import established_trend
from seatrial_runner.records import Trial

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets, Regression

Method = Literal["duet", "separate ABBA", "separate runs"]
LEAST_PAIRS = 16  # of fewer the sd is known to no better than a third
BIAS_ALPHA = 0.005  # per side
MOST_BIAS = 0.005  # what the finest sensible gate ignores
METRIC_OF_PAIRS = "latency_p50"


@dataclass(frozen=True)
class Noise:
    """How one metric of a bundle differs from itself on a device; all on the log scale.

    ``sd`` is that of a pair (of pairs: such that the trimmed mean's error is sd / sqrt(pairs)) or of a run, known from
    ``count`` pairs, or runs of each side; ``sd_high`` its one-sided 95 % upper bound. ``bias`` should be 0.
    """

    metric: str
    method: Method
    count: int
    sd: float
    sd_high: float
    bias: float
    bias_low: float
    bias_high: float

    def mde(self, settings: GateSettings, ignore: float) -> float:
        """Return the least relative worsening that the gate's last look calls a regression with 1 - beta.

        ``ignore`` is relative. For pairs the formula of `minimum_detectable_effect` with se = sd / sqrt(pairs) and the
        degrees of freedom that trimming leaves; for runs that of Welch's t with equal sides.
        """
        paired = self.method != "separate runs"
        looks = settings.looks if paired else settings.solo_looks
        n = looks[-1]
        df = n - 2 * (n // 5) - 2 if paired else 2 * n - 2
        se = self.sd / math.sqrt(n) if paired else self.sd * math.sqrt(2 / n)
        alpha = (settings.pair_alpha or settings.alpha if paired else settings.alpha) / len(looks)
        return math.expm1(minimum_detectable_effect(se, df, alpha, settings.beta, math.log1p(ignore)))

    def pairs_for(self, settings: GateSettings, wanted: Regression) -> int:
        """Return how many pairs a comparison with this margin takes."""
        effect = math.log1p(wanted.margin) - math.log1p(wanted.ignore)
        return pairs_needed(self.sd * math.sqrt(0.93), effect, settings.alpha / len(settings.looks), settings.beta)

    @property
    def biased(self) -> bool:
        """True when the bias is surely not 0: both of its bounds, at 99.5 % each, are on one side."""
        return self.bias_low > 0 or self.bias_high < 0


def noises(trial: Trial) -> tuple[Noise, ...]:
    """Return the noise of each metric of an A/A trial, as far as it was measured."""
    return tuple(_noises(trial))


def calibration_problems(trial: Trial, settings: GateSettings | None = None) -> tuple[str, ...]:
    """Return why an A/A trial can't serve as calibration: it is none, the device misbehaved, or it is biased."""
    settings = settings or GateSettings()
    if len({bundle.digest for bundle in trial.bundles.values()}) != 1 or len(trial.bundles) != 2:
        return ("this is no A/A trial: its two bundles differ, or there is but one",)
    pairs = _pairs(trial)
    found = [*trial_problems(trial, settings), *timing_problems(trial, settings)]
    if pairs.problem or len(pairs.values) < LEAST_PAIRS:
        found.append(pairs.problem or f"{len(pairs.values)} pairs; a calibration needs at least {LEAST_PAIRS}")
    elif abs(trend := established_trend(pairs.values)) > math.log1p(settings.drift_limit):
        found.append(f"the ratio surely drifted by {show(math.expm1(trend), 'relative')} during the trial")
    return (*found, *(_bias(noise) for noise in noises(trial) if _too_biased(noise)))


def insensitive(trial: Trial, budgets: Budgets, settings: GateSettings) -> tuple[str, ...]:
    """Return, for each margin of ``budgets`` that the device of the A/A ``trial`` can't show, why."""
    known = {noise.metric: noise for noise in noises(trial)}
    wanted: dict[str, Regression | None] = {METRIC_OF_PAIRS: budgets.regression}
    wanted |= {str(name): limit for name, limit in budgets.regressions.items()}
    return tuple(
        _insensitive(trial, known[name], limit, settings)
        for name, limit in wanted.items()
        if limit is not None and name in known and known[name].mde(settings, limit.ignore) > limit.margin
    )


def _insensitive(trial: Trial, noise: Noise, limit: Regression, settings: GateSettings) -> str:
    least = show(noise.mde(settings, limit.ignore), "ratio")
    paired = noise.method != "separate runs"
    what, looks = ("pairs", settings.looks) if paired else ("runs", settings.solo_looks)
    help_ = "quieten the device or widen the margin"
    if paired:
        help_ = f"that takes {noise.pairs_for(settings, limit)} pairs (--looks); or {help_}"
    return (
        f"{trial.device.name} can't show a worsening of {exact(limit.margin, 'ratio')} in {label(noise.metric)}: "
        f"by its calibration (noise {noise_text(noise.sd)} per {what[:-1]}, {noise.count} {what}) the least that "
        f"{looks[-1]} {what} find is {least}; {help_}"
    )


def _noises(trial: Trial) -> Iterator[Noise]:
    pairs = _pairs(trial)
    if not pairs.problem and len(pairs.values) >= 5:
        yield _of_pairs(pairs, "duet" if comparison_of(trial) == "duet" else "separate ABBA")
    for metric in METRICS.values():
        if metric.name == METRIC_OF_PAIRS:
            continue
        sides = metric.series(trial, "candidate"), metric.series(trial, "baseline")
        if all(not side.problem and len(side.values) >= 3 for side in sides):
            yield _of_runs(metric, sides)


def _pairs(trial: Trial) -> Series:
    return duet_log_ratios(trial) if comparison_of(trial) == "duet" else separate_log_ratios(trial)


def _of_pairs(series: Series, method: Method) -> Noise:
    values, lost = without_order(series.values, series.order)
    found = trimmed_mean(values, lost=lost)
    low, high = found.bounds(BIAS_ALPHA, BIAS_ALPHA)
    sd = found.se * math.sqrt(found.n)
    return Noise(METRIC_OF_PAIRS, method, found.n, sd, _upper(sd, found.df), found.mean, low, high)


def _of_runs(metric: Metric, sides: tuple[Series, Series]) -> Noise:
    count = min(len(side.values) for side in sides)
    df = sum(len(side.values) for side in sides) - 2
    found = log_ratio_interval(sides[0].values, sides[1].values, BIAS_ALPHA, BIAS_ALPHA)
    return Noise(
        metric.name,
        "separate runs",
        count,
        found.sd,
        _upper(found.sd, df),
        found.estimate,
        found.low,
        found.high,
    )


def _upper(sd: float, df: int) -> float:
    """Return the one-sided 95 % upper bound of a normal sd: sd sqrt(df / chi2(.05, df))."""
    return sd * math.sqrt(df / float(chdtri(df, 0.95))) if sd > 0 else 0.0


def _too_biased(noise: Noise) -> bool:
    """A bias matters that is surely there and as large as what a gate ignores."""
    return noise.biased and min(abs(noise.bias_low), abs(noise.bias_high)) > math.log1p(MOST_BIAS)


def _bias(noise: Noise) -> str:
    said = between(math.expm1(noise.bias_low), math.expm1(noise.bias_high), "relative")
    figures = f"{show(math.expm1(noise.bias), 'relative')} ({said})"
    return (
        f"the bundle differs from itself by {figures} in {label(noise.metric)}: {noise.method} comparisons are biased"
    )


def predicted(settings: GateSettings, noise: Noise, wanted: Regression) -> str:
    """Return 'about 16 pairs' for a comparison that finds nothing: how long a gate will take on this device."""
    needed = noise.pairs_for(settings, wanted)
    look = next((look for look in settings.looks if look >= needed), None)
    return f"about {look} pairs" if look else f"more than {settings.looks[-1]} pairs"
