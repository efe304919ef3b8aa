"""One document for programs: the verdict with the figures that it rests on."""

from __future__ import annotations

import json
from collections.abc import Sequence

from seatrial_ci.gate.verdict import PolicyVerdict, Verdict
from seatrial_ci.judgement import Judgement
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


def document(judgements: Sequence[Judgement], policy: PolicyVerdict | None = None) -> str:
    """Return one verdict as `as_json` does; of a policy its verdict, and the summary of each cell by trial."""
    if policy is None and len(judgements) == 1 and (trial := judgements[0].trial) is not None:
        return as_json(judgements[0].verdict, trial)
    body = {
        "policy": json.loads(policy.model_dump_json(by_alias=True)) if policy else None,
        "verdicts": [json.loads(each.verdict.model_dump_json(by_alias=True)) for each in judgements],
        "summaries": [json.loads(summarise(j.trial).model_dump_json()) if j.trial else None for j in judgements],
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"
