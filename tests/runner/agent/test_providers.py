"""Execution providers: those of the real library, and what reaches a library that has more of them.

The spy's library is the real one, but for a list of providers that it claims and the calls that name them: which calls
with which options arrive is what is shown, not what such a provider would do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.agent.conftest import Agent, Case, installed_library
from seatrial_runner.job import ArmJob, Job

Compiled = Callable[[str], Path]


def job_with(case: Case, providers: Mapping[str, Mapping[str, str]], **changes: Any) -> Job:
    arm: ArmJob = replace(case.doubling(), providers=tuple(providers), provider_options=providers)
    return case.job(arm, **{"iterations": 4, "warmup_max_ns": 0, **changes})


def test_a_provider_that_the_library_lacks_is_named_with_those_that_it_has(agent: Agent, case: Case) -> None:
    result = agent.run(job_with(case, {"QNNExecutionProvider": {}}), case.folder)
    assert result.error is not None
    assert result.error.kind == "user_error"
    assert "has no provider QNNExecutionProvider; it has: " in result.error.message
    assert "CPUExecutionProvider" in result.error.message


def test_options_reach_the_library(agent: Agent, case: Case, compiled: Compiled) -> None:
    providers = {
        "QNNExecutionProvider": {"backend_path": "libQnnHtp.so", "htp_performance_mode": "burst"},
        "NnapiExecutionProvider": {"flags": "5"},
        "XnnpackExecutionProvider": {"intra_op_num_threads": "2"},
        "CPUExecutionProvider": {},
    }
    job = job_with(case, providers, library=str(compiled("spy_runtime")))
    told = agent.stderr(job, case.folder, {"SPY_LIBRARY": installed_library()})
    assert [line for line in told.splitlines() if line.startswith("spy: provider")] == [
        "spy: provider QNN backend_path=libQnnHtp.so htp_performance_mode=burst",
        "spy: provider Nnapi flags 5",
        "spy: provider XNNPACK intra_op_num_threads=2",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_fp16": "1"}, "NnapiExecutionProvider has the option flags alone, and no use_fp16"),
        ({"flags": "-1"}, "NnapiExecutionProvider: flags is a number, not -1"),
        ({"flags": "fp16"}, "NnapiExecutionProvider: flags is a number, not fp16"),
    ],
)
def test_an_option_that_would_be_lost_is_refused(
    agent: Agent,
    case: Case,
    compiled: Compiled,
    monkeypatch: pytest.MonkeyPatch,
    options: Mapping[str, str],
    said: str,
) -> None:
    monkeypatch.setenv("SPY_LIBRARY", installed_library())
    job = job_with(case, {"NnapiExecutionProvider": options}, library=str(compiled("spy_runtime")))
    result = agent.run(job, case.folder)
    assert result.error is not None
    assert (result.error.kind, result.error.message) == ("user_error", said)
