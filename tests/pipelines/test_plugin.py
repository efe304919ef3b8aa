"""The pytest plugin, as a team's own pytest runs it: in a process of its own, on this machine, with a real bundle."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.conftest import MakeBundle

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = "solo_runs=4, solo_iterations=60, memory_runs=0, warmup_max_ns=10_000_000, warmup_min_ns=0"
LOCAL = "--seatrial-device=local"


@pytest.fixture
def suite(tmp_path: Path, environment: dict[str, str], make_bundle: MakeBundle) -> Run:
    """Write a test file and run pytest on it."""
    folder = tmp_path / "suite"
    folder.mkdir()
    bundle = make_bundle().path

    def run(body: str, *options: str) -> subprocess.CompletedProcess[str]:
        (folder / "test_models.py").write_text(f"import pytest\nBUNDLE = {str(bundle)!r}\n{body}")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=junit.xml", "-W", "error", *options],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def junit(tmp_path: Path) -> ET.Element:
    (found,) = ET.parse(tmp_path / "suite" / "junit.xml").getroot().iter("testsuite")
    return found


def outcomes(tmp_path: Path) -> dict[str, str]:
    """Each test's name, and whether it passed, or the one thing that junit.xml says of it."""
    cases = junit(tmp_path).iter("testcase")
    told = ((case.attrib["name"], [e.tag for e in case if e.tag in ("failure", "error", "skipped")]) for case in cases)
    return {name: " ".join(tags) or "passed" for name, tags in told}


def one(limit: str, plan: str = QUICK) -> str:
    return f"""
@pytest.mark.seatrial_budget({limit})
def test_ships(trial, assert_within_budget):
    verdict = assert_within_budget(trial(BUNDLE, {plan}))
    assert verdict.outcome.value == "PASS"
"""


def test_without_a_device_the_test_is_skipped_and_says_how(suite: Run) -> None:
    done = suite(one('latency_p50="1 s"'), "-rs")
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "pytest --seatrial-device NAME" in done.stdout


VERDICTS = (
    one('latency_p50="1 s"')
    + f"""
KEPT = "kept/chain@local.json"

def test_too_slow(assert_within_budget):
    assert_within_budget(KEPT, latency_p50="1 ns")

def test_not_measured(assert_within_budget):
    assert_within_budget(KEPT, latency_p50="1 s", energy_per_inference="1 mJ")

def test_no_such_limit(trial, assert_within_budget):
    assert_within_budget(KEPT, latency_p5="1 s")

@pytest.mark.seatrial_budget(latency_p50=7)
def test_a_limit_without_a_unit(trial):
    trial(BUNDLE, {QUICK})

def test_no_limit(trial, assert_within_budget):
    assert_within_budget(trial(BUNDLE, {QUICK}))
"""
)


def test_each_verdict_is_an_outcome_of_its_own(suite: Run, tmp_path: Path) -> None:
    """PASS passes, FAIL fails; what was not measured is INVALID: an error, which says nothing against the model."""
    done = suite(VERDICTS, LOCAL, "--seatrial-out=kept")
    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(tmp_path) == {
        "test_ships": "passed",
        "test_too_slow": "failure",
        "test_not_measured": "error",
        "test_no_such_limit": "error",
        "test_a_limit_without_a_unit": "error",
        "test_no_limit": "error",
    }
    for said in ("PASS chain on local", "FAIL chain on local", "candidate chain: p50 ", "did you mean 'latency_p50'"):
        assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert junit(tmp_path).find(".//property[@name='seatrial']") is not None


def test_a_device_that_is_not_known_is_an_error(suite: Run) -> None:
    done = suite(one('latency_p50="1 s"'), "--seatrial-device=lab-pie")
    assert done.returncode == 1
    assert "unknown device 'lab-pie'" in done.stdout
    assert "1 error" in done.stdout


@pytest.mark.parametrize(("option", "code", "said"), [("fail", 1, "1 failed"), ("skip", 0, "1 skipped")])
def test_inconclusive_fails_unless_it_is_told_to_skip(suite: Run, option: str, code: int, said: str) -> None:
    """Three runs, and a limit that is their own figure: nobody can tell on which side of it the truth is."""
    body = f"""
def test_ships(trial, assert_within_budget):
    from seatrial_ci.summary import summarise
    measured = trial(BUNDLE, {QUICK.replace("solo_runs=4", "solo_runs=3")})
    limit = summarise(measured).bundles[0].latency["p50"].value
    assert_within_budget(measured, latency_p50=f"{{limit:.0f}} ns")
    raise SystemError("it went on")
"""
    done = suite(body, LOCAL, f"--seatrial-inconclusive={option}", "-rs")
    assert done.returncode == code, done.stdout
    assert said in done.stdout
    assert "INCONCLUSIVE chain on local" in done.stdout
    assert "SystemError" not in done.stdout


def test_a_folder_that_can_not_be_made_is_an_error(suite: Run) -> None:
    done = suite(one('latency_p50="1 s"'), LOCAL, "--seatrial-out=test_models.py/trials")
    assert done.returncode == 1
    assert "its folder can't be made" in done.stdout
    assert "1 error" in done.stdout


@pytest.mark.slow
def test_workers_of_xdist_wait_for_each_other(suite: Run, tmp_path: Path) -> None:
    body = one('latency_p50="1 s"') + one('latency_p50="1 s"').replace("test_ships", "test_ships_again")
    done = suite(body, LOCAL, "-n2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS chain on local") == 2
    assert len(list((tmp_path / "suite" / "trials").glob("chain@local*.budgets.yaml"))) == 2


def test_fixtures_of_the_same_names_are_the_users_own(suite: Run) -> None:
    body = """
@pytest.fixture
def device():
    return "cuda"

@pytest.fixture
def trial():
    return 7

def test_own(device, trial):
    assert (device, trial) == ("cuda", 7)
"""
    assert suite(body).returncode == 0


def test_a_pytest_that_does_not_ask_for_it_loads_nothing_heavy(suite: Run) -> None:
    body = """
def test_cheap():
    import sys
    assert "seatrial.testing.plugin" in sys.modules
    assert not {"numpy", "pydantic", "click", "torch", "seatrial.api", "seatrial_targets"} & set(sys.modules)
"""
    done = suite(body)
    assert done.returncode == 0, done.stdout
