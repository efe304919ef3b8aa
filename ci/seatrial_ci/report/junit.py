"""JUnit XML: one case per device, bundle and metric. FAIL is a failure, INVALID an error, INCONCLUSIVE is skipped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from seatrial_ci.gate.absolute import METRICS
from seatrial_ci.gate.verdict import Check, Outcome, Verdict
from seatrial_ci.judgement import Judgement
from seatrial_runner.records import Trial

# What XML 1.0 can't carry, not even escaped.
FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KINDS = {Outcome.FAIL: Failure, Outcome.INVALID: Error, Outcome.INCONCLUSIVE: Skipped}


def junit(judgements: Sequence[Judgement]) -> str:
    """Return the verdicts as JUnit XML text, encoded as UTF-8 would be: one suite per model and device.

    A stamp is repeated in each case's name, so that a stand-in can't pass for a device. A case's time is that of the
    runs that it rests on, which it may share with others; the suite's is that of the trial. A check that only warns
    is a passed case, whose output says what it warns of.
    """
    xml = JUnitXml("seatrial")
    suites = [_suite(each.verdict, each.trial) for each in judgements]
    for suite in suites:
        xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    for suite, each in zip(suites, judgements, strict=True):
        suite.time = _duration(each.trial)
    xml.time = round(sum(suite.time for suite in suites), 3)
    # Jenkins' schema has it on suites alone, and its xUnit plugin refuses what does not keep to that schema.
    xml._elem.attrib.pop("skipped", None)
    return bytes(xml.tostring()).decode()  # type: ignore[no-untyped-call]


def _suite(verdict: Verdict, trial: Trial | None) -> TestSuite:
    suite = TestSuite(_clean(f"seatrial {verdict.device} {verdict.candidate}.{verdict.target}"))
    for check in verdict.checks:
        suite.add_testcase(_case(verdict, trial, check))
    for name, value in _properties(verdict, trial):
        suite.add_property(name, _clean(value))
    return suite


def _duration(trial: Trial | None) -> float:
    return _seconds((trial.finished_unix_ns or trial.started_unix_ns) - trial.started_unix_ns) if trial else 0.0


def _case(verdict: Verdict, trial: Trial | None, check: Check) -> TestCase:
    stamp = f" [{verdict.stamp}]" if verdict.stamp else ""
    place = _clean(f"{verdict.device}.{verdict.candidate}.{verdict.target}")
    case = TestCase(_clean(check.metric + stamp), classname=place, time=_measuring(trial, check))
    kind = KINDS.get(check.outcome) if check.severity == "block" else None
    if kind:
        case.result = [kind(_clean(check.message), check.outcome.value)]
    warning = "" if check.severity == "block" else f"warning only, {check.outcome.value}: "
    case.system_out = _clean(warning + check.message)
    return case


def _measuring(trial: Trial | None, check: Check) -> float:
    """Seconds that the runs took which ``check`` rests on; 0 for what the bundle states."""
    if trial is None:
        return 0.0
    kinds = {metric.name: metric.kind for metric in METRICS.values()}
    if check.metric == "latency_regression":
        runs = [run for run in trial.runs if run.kind == "duet" or run.pair is not None]
    else:
        kind = kinds.get(check.metric.removesuffix("_regression"))
        runs = [run for run in trial.runs if run.kind == kind and "candidate" in run.arms.values()]
    return _seconds(sum(run.duration_ns for run in runs))


def _seconds(ns: int) -> float:
    return round(max(ns, 0) / 1e9, 3)


def _properties(verdict: Verdict, trial: Trial | None) -> list[tuple[str, str]]:
    found = [
        ("model", verdict.model),
        ("trial", verdict.trial_id),
        ("outcome", verdict.outcome.value),
        ("rule", verdict.rule),
        ("stamp", verdict.stamp),
    ]
    found += [(f"{role}_digest", bundle.digest) for role, bundle in (trial.bundles.items() if trial else ())]
    return [(name, value) for name, value in found if value]


def _clean(text: str) -> str:
    return FORBIDDEN.sub("�", text)
