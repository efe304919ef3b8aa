"""JUnit XML: one case per device, model and metric. FAIL is a failure, INVALID an error, INCONCLUSIVE is skipped."""

from __future__ import annotations

import re

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from seatrial_ci.gate.verdict import Check, Outcome, Verdict
from seatrial_runner.records import Trial

# What XML 1.0 can't carry, not even escaped.
FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KINDS = {Outcome.FAIL: Failure, Outcome.INVALID: Error, Outcome.INCONCLUSIVE: Skipped}


def junit(verdict: Verdict, trial: Trial) -> str:
    """Return the verdict as JUnit XML text, encoded as UTF-8 would be.

    A stamp is repeated in each case's name, so that a stand-in can't pass for a device.
    """
    suite = TestSuite(_clean(f"seatrial {verdict.device} {verdict.candidate}"))
    for check in verdict.checks:
        suite.add_testcase(_case(verdict, check))
    for name, value in _properties(verdict, trial):
        suite.add_property(name, _clean(value))
    xml = JUnitXml("seatrial")
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    return bytes(xml.tostring()).decode()  # type: ignore[no-untyped-call]


def _case(verdict: Verdict, check: Check) -> TestCase:
    stamp = f" [{verdict.stamp}]" if verdict.stamp else ""
    case = TestCase(_clean(check.metric + stamp), classname=_clean(f"{verdict.device}.{verdict.candidate}"), time=0.0)
    kind = KINDS.get(check.outcome)
    if kind:
        case.result = [kind(_clean(check.message), check.outcome.value)]
    case.system_out = _clean(check.message)
    return case


def _properties(verdict: Verdict, trial: Trial) -> list[tuple[str, str]]:
    found = [("trial", trial.id), ("outcome", verdict.outcome.value), ("rule", verdict.rule), ("stamp", verdict.stamp)]
    found += [(f"{role}_digest", bundle.digest) for role, bundle in trial.bundles.items()]
    return [(name, value) for name, value in found if value]


def _clean(text: str) -> str:
    return FORBIDDEN.sub("�", text)
