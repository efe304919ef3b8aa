"""What a reader of a comparison should know but that decides nothing: who came first, what stands out, solo runs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from seatrial_ci.figures import Series, duet_log_ratios, separate_log_ratios
from seatrial_ci.gate.relative import METHODS, chosen, solo_log_ratio
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.wording import between, show
from seatrial_ci.statistics.diagnostics import outliers, resembles_itself
from seatrial_ci.statistics.order import order_effect, without_order
from seatrial_ci.statistics.trimmed import trimmed_mean
from seatrial_runner.records import Trial

NAMED = 3  # outliers that are named one by one
WORTH_SAYING = 0.001  # an order effect below it is of no interest
SURE = 3.0  # standard errors


def remarks(trial: Trial, settings: GateSettings, pairs: int | None) -> Iterator[str]:
    """Yield remarks on the first ``pairs`` pairs of ``trial``, those that decided; None: nothing was compared."""
    if pairs is None:
        return
    method = chosen(trial, settings)
    series = duet_log_ratios(trial) if method == "duet" else separate_log_ratios(trial)
    if series.problem:
        return
    series = Series(series.values[:pairs], series.runs[:pairs], order=series.order[:pairs])
    yield from _one_first(series)
    yield from _order(series)
    yield from _outliers(series, METHODS[method])
    yield from _resemblance(series)
    if method == "duet":
        yield from _beside_solo(trial, series)


def _one_first(series: Series) -> Iterator[str]:
    """Loading one bundle first much more often than the other biases a duet a little."""
    first, pairs = sum(each > 0 for each in series.order), len(series.order)
    if pairs >= 4 and abs(2 * first - pairs) > max(2, pairs // 4):
        yield f"the candidate came first in {first} of {pairs} pairs; swap the order from run to run"


def _order(series: Series) -> Iterator[str]:
    """Only an effect that is surely there: in a balanced order its error is that of the mean."""
    effect = order_effect(series.values, series.order)
    if effect is None:
        return
    values, lost = without_order(series.values, series.order)
    if abs(effect) > max(WORTH_SAYING, SURE * trimmed_mean(values, lost=lost).se):
        word = "slower" if effect > 0 else "faster"
        said = show(abs(math.expm1(2 * effect)), "ratio")
        yield f"whichever bundle came first was {said} {word} than when it came second; that was taken out"


def _outliers(series: Series, method: str) -> Iterator[str]:
    """Without the effect of the order: else each second pair would stand out where it is large."""
    values, _ = without_order(series.values, series.order)
    found = outliers(values)
    if not found.indices:
        return
    said = ", ".join(show(math.expm1(float(values[i])), "relative") for i in found.indices[:NAMED])
    more = ", ..." if len(found.indices) > NAMED else ""
    count = f"{len(found.indices)} of {len(values)} {method} pairs stand out ({said}{more})"
    if found.too_many:
        yield f"{count}, more than the trimmed mean leaves out: something disturbs this device"
    else:
        yield f"{count}: something disturbed them; the trimmed mean leaves such pairs out"


def _resemblance(series: Series) -> Iterator[str]:
    values, _ = without_order(series.values, series.order)
    found = resembles_itself(values)
    if found:
        yield f"successive pairs resemble each other (correlation {found:+.2f}), so the bounds are too narrow"


def _beside_solo(trial: Trial, series: Series) -> Iterator[str]:
    """In a duet each model evicts the other's caches: say what runs of each alone find, or that there are none."""
    solo = solo_log_ratio(trial)
    if solo is None:
        yield "the duets were not checked against solo runs: fewer than 3 of either bundle"
        return
    estimate, low, high = (math.expm1(value) for value in solo)
    yield f"runs of each bundle alone say {show(estimate, 'relative')} ({between(low, high, 'relative')})"
