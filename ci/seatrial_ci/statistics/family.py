"""Many comparisons in one verdict: screen them all cheaply, then confirm those that stand out on fresh pairs.

With 60 cells and no correction, 46 % of verdicts on an unchanged model would raise a false alarm. Screening at 5 %
flags few cells; each flagged one is measured anew and judged at alpha / (cells flagged), so that by Bonferroni's
inequality the chance of any false FAIL is at most alpha, whatever was flagged and why. The fresh pairs know nothing of
the screening, which is what makes the second test honest (cf. two-stage screening designs, e.g. Skol et al., Nature
Genetics 38, 2006, where the stages are joined; here they are not). An unflagged cell passes only when its upper bound
is below the margin, at beta, as a single comparison does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from seatrial_ci.statistics.sequential import SequentialRule

SCREENING_LOOKS, SCREENING_P = (12, 32, 64), 0.05
CONFIRMING_LOOKS = (24, 48)


@dataclass(frozen=True)
class Family:
    """How one verdict over ``cells`` comparisons is reached; with one cell there is nothing to correct."""

    cells: int
    looks: tuple[int, ...] = SCREENING_LOOKS
    fresh: tuple[int, ...] = CONFIRMING_LOOKS
    screening_p: float = SCREENING_P

    def screening(self, rule: SequentialRule) -> SequentialRule:
        """Return the rule of the first stage. Its "fail" flags a cell, at ``screening_p`` at each look."""
        if self.cells < 2:
            return rule
        return replace(rule, looks=self.looks, alpha=self.screening_p * len(self.looks))

    def confirmation(self, rule: SequentialRule, flagged: int) -> SequentialRule:
        """Return the rule of the second stage, on pairs of their own, when ``flagged`` cells were flagged."""
        if flagged < 1:
            raise ValueError("nothing was flagged, so there is nothing to confirm")
        return replace(rule, looks=self.fresh, alpha=rule.alpha / flagged)
