"""One verdict over many models and devices, by a policy file."""

from seatrial_ci.policy.cells import Cell, cells_of
from seatrial_ci.policy.judge import Evidence, judge_policy
from seatrial_ci.policy.schema import Policy

__all__ = ["Cell", "Evidence", "Policy", "cells_of", "judge_policy"]
