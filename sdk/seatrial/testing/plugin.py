"""The pytest plugin: options, the marker, the fixtures, and the figures at the end.

    @pytest.mark.seatrial_budget(latency_p50="18 ms")
    def test_ships(trial, assert_within_budget):
        assert_within_budget(trial("bundles/mobilenet"))

Every pytest in an environment that has Seatrial loads this module, so it imports nothing of Seatrial until a fixture is
used. A test's own fixtures of the same names win over these; the long names stay.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from seatrial_ci.gate import Verdict
    from seatrial_runner.records import Trial
    from seatrial_targets.inventory import Device

    from .session import Session

    Measure = Callable[..., Trial]
    AssertWithinBudget = Callable[..., Verdict]

MARKER = "seatrial_budget"
PROPERTY = "seatrial"
_NEEDED = (
    "needs a device: run `pytest --seatrial-device NAME`; `local` is this machine, `seatrial devices list` shows all"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of which begin with --seatrial."""
    group = parser.getgroup("seatrial", "Seatrial: models on real devices")
    group.addoption("--seatrial-device", metavar="NAME", help="Device to measure on; tests that need one are skipped.")
    group.addoption(
        "--seatrial-devices", metavar="FILE", help="Inventory file.  [default: ./devices.yaml, else the user's]"
    )
    group.addoption(
        "--seatrial-budgets", metavar="FILE", help="Limits for all; those of a marker or a call come first."
    )
    group.addoption(
        "--seatrial-out", metavar="DIR", default="trials", help="Where trials are kept.  [default: %(default)s]"
    )
    group.addoption(
        "--seatrial-inconclusive",
        choices=("fail", "skip", "xfail"),
        default="fail",
        help="What an INCONCLUSIVE verdict does to its test.  [default: %(default)s]",
    )
    group.addoption(
        "--seatrial-wait",
        type=float,
        default=600.0,
        metavar="S",
        help="Longest wait for a device that another runner holds.  [default: %(default)g]",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", f'{MARKER}(latency_p50="18 ms", ...): limits that the test\'s bundles must keep.'
    )


@pytest.fixture(scope="session")
def seatrial_session(pytestconfig: pytest.Config) -> Session:
    """Return what the run was asked for; skips the test when it names no device."""
    if not pytestconfig.getoption("seatrial_device"):
        pytest.skip(_NEEDED)
    from .session import Session

    return Session.of(pytestconfig)


@pytest.fixture(scope="session")
def seatrial_device(seatrial_session: Session) -> Device:
    """Return the device of `--seatrial-device`, as the inventory describes it."""
    return seatrial_session.device()


@pytest.fixture(scope="session")
def device(seatrial_device: Device) -> Device:
    """Return the same as `seatrial_device`."""
    return seatrial_device


@pytest.fixture
def seatrial_trial(request: pytest.FixtureRequest, seatrial_session: Session) -> Measure:
    """Return a function that measures a bundle: ``trial(bundle, baseline=None, **plan)``.

    With limits (the marker's, `--seatrial-budgets`) or a baseline it measures until they are decided, otherwise as many
    runs as the plan says; ``plan`` changes fields of `seatrial_runner.plan.Plan`. The file is kept in `--seatrial-out`.
    """

    def measure(bundle: Path | str, baseline: Path | str | None = None, **plan: Any) -> Trial:
        return seatrial_session.measure(bundle, baseline, _marked(request.node), plan)

    return measure


@pytest.fixture
def trial(seatrial_trial: Measure) -> Measure:
    """Return the same as `seatrial_trial`."""
    return seatrial_trial


@pytest.fixture
def assert_within_budget(request: pytest.FixtureRequest, seatrial_session: Session) -> AssertWithinBudget:
    """Return a function that judges: ``assert_within_budget(trial, budgets=None, **limits)`` returns its PASS.

    ``trial`` is a Trial or the path of one, ``budgets`` a file or `Budgets`. Limits of the call come before those of
    the marker, these before `--seatrial-budgets`; without any, those hold that the trial was measured for. FAIL fails
    the test, INVALID is an error, INCONCLUSIVE fails unless `--seatrial-inconclusive` says otherwise.
    """

    def check(trial: Trial | Path | str, budgets: Any = None, **limits: Any) -> Verdict:
        __tracebackhide__ = True
        verdict, text = seatrial_session.judge(trial, budgets, _marked(request.node) | limits)
        request.node.user_properties.append((PROPERTY, text))
        _end(verdict, text, request.config.getoption("seatrial_inconclusive"))
        return verdict

    return check


def _marked(node: pytest.Item) -> dict[str, Any]:
    """Return the limits of all markers of a test, the nearest first in rank."""
    found: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers(MARKER))):
        if mark.args:
            raise pytest.UsageError(f'{node.nodeid}: {MARKER} takes limits by name, such as latency_p50="18 ms"')
        found |= mark.kwargs
    return found


def _end(verdict: Verdict, text: str, inconclusive: str) -> None:
    """End the test as its verdict says; return for PASS."""
    __tracebackhide__ = True
    if verdict.outcome.value == "INVALID":
        from .session import InvalidTrialError

        raise InvalidTrialError(text)
    if verdict.outcome.value == "FAIL" or (verdict.outcome.value == "INCONCLUSIVE" and inconclusive == "fail"):
        pytest.fail(text, pytrace=False)
    if verdict.outcome.value == "INCONCLUSIVE":
        (pytest.skip if inconclusive == "skip" else pytest.xfail)(text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Make a device's failure an error of the test, not a failure of the model: JUnit keeps the two apart."""
    outcome = yield
    if call.when == "call" and call.excinfo and "seatrial_session" in getattr(item, "fixturenames", ()):
        from seatrial_targets.errors import SeatrialError

        if isinstance(call.excinfo.value, SeatrialError):
            report = outcome.get_result()
            report.when = "setup"  # pytest's word for "not the test's own fault"
            report.longrepr = f"{type(call.excinfo.value).__name__}: {call.excinfo.value}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show every verdict with its figures. They came with the reports, so workers' are among them."""
    shown = _verdicts(terminalreporter.stats)
    if shown:
        terminalreporter.section("seatrial")
        for test, text in shown:
            terminalreporter.line(f"{test}\n  " + text.replace("\n", "\n  "))


def _verdicts(stats: Mapping[str, list[Any]]) -> list[tuple[str, str]]:
    every = [report for reports in stats.values() for report in reports if hasattr(report, "user_properties")]
    found = ((report.nodeid, text) for report in every for name, text in report.user_properties if name == PROPERTY)
    return list(dict.fromkeys(found))
