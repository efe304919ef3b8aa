"""A plan that can answer what the budgets ask: a p99 needs more inferences and runs than the default makes.

A limit on operators that fall back needs a run under the runtime's profiler, which takes seconds. Half an hour of heat
for a sustained latency is the user's to ask for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from seatrial_ci.statistics.validity import support_of
from seatrial_runner.plan import Plan
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle
    from seatrial_targets.budgets import Budgets

LEVELS = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p99": 0.99}


def enough(plan: Plan, budgets: Budgets, fixed: Collection[str] = ()) -> Plan:
    """Return ``plan`` with as many runs and inferences as ``budgets`` need, and a profile where they ask for one.

    Fields in ``fixed`` were set by the user. Raises UserError when those can never answer: better now than after an
    hour of measuring.
    """
    for name, level in LEVELS.items():
        if getattr(budgets, f"{name}_ns") is None and name not in budgets.regressions:
            continue
        support = support_of(level)
        for field, needed in {"solo_iterations": support.samples, "solo_runs": support.runs}.items():
            plan = _at_least(plan, field, needed, name, field in fixed)
    if budgets.max_fallback_ops is not None and not plan.profile_runs and "profile_runs" not in fixed:
        plan = plan.but(profile_runs=1)
    return plan


def check_stated(budgets: Budgets, candidate: Bundle) -> None:
    """Raise UserError when ``budgets`` limits an accuracy that the bundle does not state: no run brings it."""
    stated = candidate.manifest.accuracy
    for name in [*budgets.accuracy, *budgets.accuracy_drop]:
        if name not in stated:
            has = f"it states {', '.join(sorted(stated))}" if stated else "it states none"
            raise UserError(
                f"the budgets limit accuracy {name!r}, which {candidate.path} does not state ({has}); "
                "export it again from a model source with `evaluate`, or take the limit out"
            )


def _at_least(plan: Plan, field: str, needed: int, metric: str, fixed: bool) -> Plan:
    if getattr(plan, field) >= needed:
        return plan
    if fixed:
        option = {"solo_iterations": "--iterations", "solo_runs": "--runs"}[field]
        said = f"{metric.replace('_', ' ')} needs {option} {needed}, and {getattr(plan, field)} was given"
        raise UserError(f"{said}; give more, or leave the option out")
    changes: dict[str, Any] = {field: needed}
    if field == "solo_iterations":
        changes["max_ns"] = round(plan.run_seconds * 0.5e9)
    return plan.but(**changes)
