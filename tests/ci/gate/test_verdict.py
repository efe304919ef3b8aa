import math

import pytest
from pydantic import ValidationError

from seatrial_ci.gate import Check, GateSettings, Outcome, Verdict
from seatrial_ci.gate.verdict import worst
from seatrial_ci.gate.wording import between, show

P, F, N, V = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.INVALID


@pytest.mark.parametrize(
    ("outcomes", "whole"), [([P, P], P), ([P, N], N), ([N, V], V), ([V, F, P], F), ([], V), ([F, N], F)]
)
def test_the_worst_decides_and_nothing_is_invalid(outcomes, whole):
    assert worst(outcomes) is whole


def test_exit_codes():
    assert [o.exit_code for o in (P, F, V, N)] == [0, 1, 3, 4]


def test_a_verdict_survives_json_with_unbounded_numbers():
    check = Check(metric="latency_p50", outcome=N, message="m", high=math.inf)
    verdict = Verdict(outcome=N, reasons=("m",), checks=(check,), trial_id="t", device="d", target="g", candidate="c")
    assert Verdict.model_validate_json(verdict.model_dump_json(by_alias=True)) == verdict


@pytest.mark.parametrize(
    "bad", [{"looks": ()}, {"looks": (8, 8)}, {"looks": (16, 8)}, {"looks": (4,)}, {"alpha": 0}, {"unknown": 1}]
)
def test_settings_that_make_no_sense(bad):
    with pytest.raises(ValidationError):
        GateSettings.model_validate(bad)


def test_numbers_with_units():
    assert show(4_312_345, "ns") == "4.31 ms"
    assert show(0.0512, "relative") == "+5.12 %"
    assert show(math.inf, "ns") == "unbounded"
    assert show(None, "ns") == "-"
    assert show(21.53, "dB") == "21.5 dB"
    assert between(1e6, 2e6, "ns") == "1.00 to 2.00 ms"
    assert between(None, 1, "ns") == ""
