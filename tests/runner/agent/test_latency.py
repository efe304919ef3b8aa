"""Mode latency: what is measured, in which order, for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper

from seatrial_runner.job import ArmJob, Job
from seatrial_runner.records import AgentResult

from .conftest import Agent, Case, Compile, installed_library

Run = Callable[[Job], AgentResult]


def ok(result: AgentResult) -> AgentResult:
    assert result.status == "ok", result.error
    return result


def test_a_solo_run_gives_raw_samples_and_facts_of_the_machine(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling(), iterations=7)))
    arm = result.arms["a"]
    assert len(arm.wall_ns) == len(arm.cpu_ns) == 7
    assert min(arm.wall_ns) > 0
    assert [check.name for check in arm.checks] == ["y"]
    assert arm.checks[0].ok
    assert arm.checks[0].rel_l2 == 0
    assert arm.checks[0].argmax_equal
    assert arm.session_ns > 0
    assert arm.first_ns > 0
    assert result.start_ns is not None
    assert result.dlopen_ns is not None
    assert result.runtime_version.startswith("1.")
    assert result.threads == 1
    assert result.memory is None
    assert result.energy is None


def test_a_duet_rounds_up_to_whole_quadruples(run: Run, case: Case) -> None:
    arms = {"a": case.doubling(name="first"), "b": case.doubling(name="second")}
    result = ok(run(case.job(arms, iterations=5)))
    assert len(result.arms["a"].wall_ns) == len(result.arms["b"].wall_ns) == 6
    assert result.arms["a"].warmup_iterations == result.arms["b"].warmup_iterations
    assert result.arms["a"].warmup_iterations % 2 == 0


@pytest.mark.parametrize("first", ["a", "b"])
def test_the_first_arm_is_loaded_first_and_fails_first(run: Run, case: Case, first: str) -> None:
    broken = {
        "a": dataclasses.replace(case.doubling(name="first"), model="no-such-a"),
        "b": dataclasses.replace(case.doubling(name="second"), model="no-such-b"),
    }
    result = run(case.job(broken, first=first))
    assert result.error is not None
    assert f"no-such-{first}" in result.error.message


@pytest.mark.parametrize(("first", "loaded"), [("a", "one"), ("b", "two")])
def test_a_duet_alternates_a_b_b_a_from_the_arm_that_is_first(
    agent: Agent, case: Case, compiled: Compile, first: str, loaded: str
) -> None:
    """Seen from inside the runtime: a library that forwards to the real one and tells what it was asked for."""
    arms = {"a": case.doubling(name="one"), "b": case.doubling(name="two")}
    job = case.job(arms, first=first, iterations=4, warmup_max_ns=0, library=str(compiled("spy_runtime")))
    told = agent.stderr(job, case.folder, {"SPY_LIBRARY": installed_library()})
    lines = [line.removeprefix("spy: ") for line in told.splitlines() if line.startswith("spy: ")]
    other = {"one": "two", "two": "one"}[loaded]
    checks = [f"load {loaded}", "run 0", f"load {other}", "run 1"]
    assert lines == checks + [f"run {session}" for session in (0, 1, 1, 0) * 2]


def test_a_duet_stops_only_after_a_whole_quadruple(run: Run, case: Case) -> None:
    arms = {"a": case.doubling(name="first"), "b": case.doubling(name="second")}
    result = ok(run(case.job(arms, iterations=100, max_ns=1)))
    assert len(result.arms["a"].wall_ns) == len(result.arms["b"].wall_ns) == 2


def test_max_ns_stops_and_keeps_what_was_measured(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling(), iterations=1000, max_ns=1)))
    assert len(result.arms["a"].wall_ns) == 1


def test_warm_up_does_at_least_what_is_asked(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling(), warmup_iterations=50)))
    assert result.arms["a"].warmup_iterations >= 50


def test_warm_up_stops_at_its_longest_time(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling(), warmup_iterations=1_000_000, warmup_max_ns=1)))
    assert result.arms["a"].warmup_iterations == 1


def test_warm_up_lasts_its_shortest_time(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling(), warmup_iterations=1, warmup_min_ns=50_000_000)))
    assert result.arms["a"].warmup_iterations > 10


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spin", [True, False])
def test_threads_and_spin_in_solo_and_duet(run: Run, case: Case, threads: int, spin: bool) -> None:
    solo = ok(run(case.job(case.doubling(), threads=threads, spin=spin)))
    arms = {"a": case.doubling(name="first"), "b": case.doubling(name="second")}
    duet = ok(run(case.job(arms, threads=threads, spin=spin)))
    assert solo.threads == duet.threads == threads


def test_affinity(run: Run, case: Case) -> None:
    assert ok(run(case.job(case.doubling(), cpus=(0,)))).cpus == 1


def test_affinity_to_a_cpu_that_is_not_there(run: Run, case: Case) -> None:
    result = run(case.job(case.doubling(), cpus=(0, 8000)))
    assert result.error is not None
    assert (result.error.stage, result.error.kind) == ("job", "user_error")
    assert "pinned" in result.error.message


def test_session_configuration_and_optimization_reach_the_runtime(run: Run, case: Case) -> None:
    arm = dataclasses.replace(case.doubling(), optimization="none", config={"session.load_model_format": "ORT"})
    result = run(case.job(arm))
    assert result.error is not None
    assert result.error.stage == "session"


def test_the_runtimes_own_format_is_recognised_without_its_suffix(run: Run, case: Case) -> None:
    import onnxruntime

    arm = case.doubling()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(case.folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(case.folder / arm.model), options, providers=["CPUExecutionProvider"])
    (case.folder / "model.ort").rename(case.folder / "blob")
    ok(run(case.job(dataclasses.replace(arm, model="blob"))))


def test_an_unknown_provider_names_those_there_are(run: Run, case: Case) -> None:
    result = run(case.job(dataclasses.replace(case.doubling(), providers=("CUDAExecutionProvider",))))
    assert result.error is not None
    assert (result.error.stage, result.error.kind) == ("session", "user_error")
    assert "CPUExecutionProvider" in result.error.message


def test_the_cpu_provider_may_be_named(run: Run, case: Case) -> None:
    ok(run(case.job(dataclasses.replace(case.doubling(), providers=("CPUExecutionProvider",)))))


def test_names_with_quotes_and_other_scripts(run: Run, case: Case) -> None:
    name, out = 'a "quoted" \\ näme 輸入', "out 🚢 put"
    model = case.model(
        [helper.make_node("Neg", [name], [out])],
        {name: (TensorProto.FLOAT, [2])},
        {out: (TensorProto.FLOAT, [2])},
    )
    x = np.array([1, 2], np.float32)
    arm = ArmJob(model, (case.tensor(name, x),), (case.tensor(out, -x, 0.0),))
    assert ok(run(case.job(arm))).arms["a"].checks[0].name == out


ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "uint32": TensorProto.UINT32,
    "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
}


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=["0-d", "empty", "2-d"])
def test_every_dtype_goes_in_and_comes_out(run: Run, case: Case, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    values = {name: np.arange(size).reshape(shape).astype(name) for name in ELEMENTS}
    model = case.model(
        [helper.make_node("Identity", [f"in {name}"], [name]) for name in ELEMENTS],
        {f"in {name}": (element, shape) for name, element in ELEMENTS.items()},
        {name: (element, shape) for name, element in ELEMENTS.items()},
    )
    inputs = tuple(case.tensor(f"in {name}", value) for name, value in values.items())
    outputs = tuple(case.tensor(name, value, 0.0) for name, value in values.items())
    checks = ok(run(case.job(ArmJob(model, inputs, outputs)))).arms["a"].checks
    assert [check.name for check in checks] == list(ELEMENTS)
    assert all(check.ok and check.argmax_equal and check.max_abs == 0 for check in checks)


def test_a_hundred_inputs_and_outputs(run: Run, case: Case) -> None:
    names = [f"t{i}" for i in range(100)]
    model = case.model(
        [helper.make_node("Neg", [f"in {n}"], [n]) for n in names],
        {f"in {n}": (TensorProto.FLOAT, [1]) for n in names},
        {n: (TensorProto.FLOAT, [1]) for n in names},
    )
    arrays = [np.full(1, i, np.float32) for i in range(100)]
    arm = ArmJob(
        model,
        tuple(case.tensor(f"in {n}", a) for n, a in reversed(list(zip(names, arrays, strict=True)))),
        tuple(case.tensor(n, -a, 0.0) for n, a in zip(names, arrays, strict=True)),
    )
    assert len(ok(run(case.job(arm))).arms["a"].checks) == 100


def test_a_model_without_inputs(run: Run, case: Case) -> None:
    model = case.model(
        [helper.make_node("Identity", ["one"], ["y"])],
        {},
        {"y": (TensorProto.FLOAT, [1])},
        {"one": np.ones(1, np.float32)},
    )
    ok(run(case.job(ArmJob(model, (), (case.tensor("y", np.ones(1, np.float32), 0.0),)))))


def test_a_dimension_that_the_model_leaves_open(run: Run, case: Case) -> None:
    model = case.model(
        [helper.make_node("Neg", ["x"], ["y"])], {"x": (TensorProto.FLOAT, ["n"])}, {"y": (TensorProto.FLOAT, ["n"])}
    )
    x = np.arange(5, dtype=np.float32)
    ok(run(case.job(ArmJob(model, (case.tensor("x", x),), (case.tensor("y", -x, 0.0),)))))
