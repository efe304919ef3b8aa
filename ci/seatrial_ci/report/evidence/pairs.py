"""Each pair's ratio with the interval, ignore and margin: what a comparison was decided on."""

from __future__ import annotations

import math

from seatrial_ci.figures import Series, duet_log_ratios, separate_log_ratios
from seatrial_ci.gate.verdict import Check, Verdict
from seatrial_ci.gate.wording import exact, show
from seatrial_ci.report.axes import Axis, around
from seatrial_ci.report.chart import Band, Chart, Mark, Rule, kept
from seatrial_ci.report.exhibit import Exhibit
from seatrial_runner.records import Trial

MOST_DOTS, MOST_ROWS = 1000, 128
KEY, TITLE = "pairs", "Candidate against baseline, pair by pair"


def pairs(verdict: Verdict | None, trial: Trial) -> Exhibit:
    """Return the exhibit of the comparison's pairs."""
    check = next((c for c in verdict.checks if c.metric == "latency_regression"), None) if verdict else None
    if check is None:
        lacks = (
            "no baseline was measured beside it" if "baseline" not in trial.bundles else "no comparison was asked for"
        )
        return Exhibit(KEY, TITLE, absent=lacks)
    separate = check.method.startswith("separate")
    series = separate_log_ratios(trial) if separate else duet_log_ratios(trial)
    if not len(series.values) or check.ignore is None or check.margin is None:
        return Exhibit(KEY, TITLE, absent=series.problem or check.message)
    ratios = [math.expm1(float(value)) for value in series.values]
    places = kept(ratios, MOST_DOTS)
    reading = _reading(check, separate)
    if len(places) < len(ratios):
        reading += (
            f" {len(places)} of {len(ratios)} pairs are drawn, among them the least and the greatest of each stretch."
        )
    return Exhibit(
        KEY,
        TITLE,
        f"{check.message[:1].upper()}{check.message[1:]}.",
        reading,
        charts=(_chart(check, series, ratios, places),),
        head=("pair", "run", "slow-down", "decided"),
        rows=tuple(_row(check, series, ratios, place) for place in range(min(len(ratios), MOST_ROWS))),
        left_out="" if len(ratios) <= MOST_ROWS else f"{len(ratios) - MOST_ROWS} more pairs are in the trial",
    )


def _reading(check: Check, separate: bool) -> str:
    one = "the ratio of two separate runs made one after the other" if separate else "one run that alternates both"
    text = f"Each dot is {one}; above 0 the candidate is slower."
    if check.low is not None and check.high is not None:
        text += " The shaded interval of their trimmed mean decides: below the margin passes, above ignore fails."
    return text


def _chart(check: Check, series: Series, ratios: list[float], places: list[int]) -> Chart:
    used = check.pairs or 0
    marks = tuple(
        Mark(
            place + 1,
            ratios[place],
            "used" if place < used else "unused",
            f"pair {place + 1}, run {series.runs[place].index}: {show(ratios[place], 'relative')}",
        )
        for place in places
    )
    limits = [0.0, check.ignore or 0.0, check.margin or 0.0]
    legend = [("used", "pairs that decided")] + ([("unused", "made later")] if used < len(ratios) else [])
    if check.low is not None and check.high is not None:
        legend.append(("interval", "interval of their trimmed mean"))
    legend.append(("zone", "between ignore and margin: either outcome is right"))
    return Chart(
        x=Axis(0, len(ratios) + 1, "", "pair, in the order measured", whole=True),
        y=around([*ratios, *limits], "relative", "slow-down"),
        marks=marks,
        bands=_bands(check),
        rules=_rules(check),
        legend=tuple(legend),
    )


def _bands(check: Check) -> tuple[Band, ...]:
    zone = (Band(check.ignore or 0.0, check.margin or 0.0, "zone"),)
    if check.low is None or check.high is None:
        return zone
    return (*zone, Band(check.low, check.high, "interval"))


def _rules(check: Check) -> tuple[Rule, ...]:
    limits = (("ignore", check.ignore), ("margin", check.margin))
    return (
        Rule(0.0, "zero", "0"),
        *(Rule(value, name, f"{name} {exact(value, 'relative')}") for name, value in limits if value is not None),
    )


def _row(check: Check, series: Series, ratios: list[float], place: int) -> tuple[str, ...]:
    decided = "yes" if place < (check.pairs or 0) else "no"
    return str(place + 1), str(series.runs[place].index), show(ratios[place], "relative"), decided
