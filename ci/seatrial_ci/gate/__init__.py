"""From a trial to a verdict: PASS, FAIL, INCONCLUSIVE or INVALID, each with its evidence."""

from seatrial_ci.gate.judge import Wanted, judge, runs_wanted
from seatrial_ci.gate.load import load_trial
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome, Verdict

__all__ = ["Check", "GateSettings", "Outcome", "Verdict", "Wanted", "judge", "load_trial", "runs_wanted"]
