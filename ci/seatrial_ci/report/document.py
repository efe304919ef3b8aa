"""One document for programs: the verdict with the figures that it rests on."""

from __future__ import annotations

import json

from seatrial_ci.gate.verdict import Verdict
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial


def as_json(verdict: Verdict | None, trial: Trial) -> str:
    """Return indented JSON: keys ``verdict`` (None without one) and ``summary``; infinite numbers are text."""
    # By way of text: model_dump leaves infinite floats as they are, and JSON has no name for them.
    document = {
        "verdict": json.loads(verdict.model_dump_json(by_alias=True)) if verdict else None,
        "summary": json.loads(summarise(trial).model_dump_json()),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
