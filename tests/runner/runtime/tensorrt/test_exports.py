"""The files that trtexec writes, rendered here as its C++ does, and read back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.runtime.tensorrt.exports import (
    Layer,
    parse_layers,
    parse_outputs,
    parse_profile,
    parse_times,
    precisions,
)
from seatrial_targets.errors import AgentError

KEYS = ("startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs", "startD2hMs", "endD2hMs")


def times(*rows: tuple[float, float, float, float], tail: str = "") -> bytes:
    """Render (start, h2d, compute, d2h) as exportJSONTrace does: 6 digits, no matter whether they are numbers."""
    lines = []
    for index, (start, h2d, compute, d2h) in enumerate(rows):
        parts = [f'"{key}" : {start:g}' for key in KEYS]
        sums = {"h2dMs": h2d, "computeMs": compute, "d2hMs": d2h, "latencyMs": h2d + compute + d2h}
        text = ", ".join([*parts, *(f'"{key}" : {value:g}' for key, value in sums.items())])
        lines.append(f"{', ' if index else '  '}{{ {text}{tail} }}\n")
    return ("[\n" + "".join(lines) + "]\n").encode()


def test_times_in_nanoseconds() -> None:
    found = parse_times(times((0.5, 0.25, 4.125, 0.125), (9, 0.25, 4.25, 0.125)))
    assert found.latency_ns == (4_500_000, 4_625_000)
    assert found.compute_ns == (4_125_000, 4_250_000)
    assert found.h2d_ns == (250_000, 250_000)
    assert found.d2h_ns == (125_000, 125_000)


def test_queries_of_the_warm_up_are_left_out() -> None:
    """Before 8.5, trtexec exports them, too."""
    assert parse_times(times((0, 0, 9, 0), (250, 0, 4, 0)), warmup_ms=200).latency_ns == (4_000_000,)


def test_a_field_more_in_old_versions() -> None:
    assert parse_times(times((0, 0, 4, 0), tail=', "endToEndMs" : 5')).latency_ns == (4_000_000,)


@pytest.mark.parametrize("raw", [b"", b"[\n]\n", b"nonsense"])
def test_no_times(raw: bytes) -> None:
    with pytest.raises(AgentError, match="exported no times"):
        parse_times(raw)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, 1e12])
def test_times_that_can_not_be(value: float) -> None:
    with pytest.raises(AgentError, match="GPU's events"):
        parse_times(times((0, 0, value, 0)))


def test_a_file_that_was_cut_short() -> None:
    raw = times((0, 0, 4, 0), (5, 0, 4, 0))
    with pytest.raises(AgentError, match="query 2"):
        parse_times(raw[:-60])


@given(st.lists(st.tuples(*[st.floats(0, 1000)] * 4), min_size=1, max_size=20))
def test_times_survive(rows: list[tuple[float, float, float, float]]) -> None:
    found = parse_times(times(*rows))
    assert found.compute_ns == tuple(round(float(f"{row[2]:g}") * 1e6) for row in rows)


def profile(*layers: tuple[str, float], median: bool = True) -> bytes:
    lines = ["[\n", '  { "count" : 3 }\n']
    for name, each in layers:
        middle = f', "medianMs" : {each:g}' if median else ""
        lines.append(
            f', {{ "name" : "{name}", "timeMs" : {3 * each:g}, "averageMs" : {each:g}{middle}, "percentage" : 50 }}\n'
        )
    return "".join([*lines, "]\n"]).encode()


def test_a_profile() -> None:
    found = parse_profile(profile(("conv1 + relu", 0.5), ("fc", 0.25)))
    assert [(layer.name, layer.average_ns, layer.median_ns) for layer in found] == [
        ("conv1 + relu", 500_000, 500_000),
        ("fc", 250_000, 250_000),
    ]
    assert parse_profile(profile(("fc", 0.25), median=False))[0].median_ns is None


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 1000)), max_size=8))
def test_names_of_layers_may_hold_anything(layers: list[tuple[str, float]]) -> None:
    layers = [(name.encode("utf-8", "ignore").decode(), each) for name, each in layers]
    found = parse_profile(profile(*layers))
    assert [layer.average_ns for layer in found] == [round(float(f"{each:g}") * 1e6) for _, each in layers]


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", '", "timeMs" : 1', "a }, { b", "line\nend"])
def test_names_that_break_json(name: str) -> None:
    (found,) = parse_profile(profile((name, 1.0)))
    assert found.average_ns == 1_000_000


def layer(form: str, kind: str = "Convolution") -> dict[str, Any]:
    return {"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": form}], "ParameterType": kind}


@pytest.mark.parametrize(
    ("form", "precision"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Int8", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("FP8", "fp8"),
        ("something new", ""),
    ],
)
def test_what_a_layer_reads(form: str, precision: str) -> None:
    (found,) = parse_layers(json.dumps({"Layers": [layer(form)], "Bindings": ["x"]}).encode())
    assert found.precision == precision


def test_shares_count_what_multiplies() -> None:
    layers = [layer("Int8"), layer("Float"), layer("Int8", "PointWise"), layer("Int8", "MatrixMultiply")]
    layers[2]["LayerType"] = "PointWiseV2"
    found = parse_layers(json.dumps({"Layers": layers, "I/O Tensors": []}).encode())
    assert precisions(found) == {"fp32": 1, "int8": 2}


@pytest.mark.parametrize("raw", [b"", b"[1]", b'{"Layers": 3}', b"{oops", b"[" * 5000])
def test_layers_that_can_not_be_read(raw: bytes) -> None:
    assert parse_layers(raw) == ()


def test_layers_without_details_are_names() -> None:
    assert parse_layers(b'{"Layers": ["conv + relu"], "Bindings": []}') == (Layer("conv + relu", "", ""),)


def outputs(**values: Any) -> bytes:
    lines = ["[\n"]
    for index, (name, array) in enumerate(values.items()):
        words = (f"{v:g}" if isinstance(v, float) else str(int(v)) for v in array.reshape(-1).tolist())
        shape = "x".join(map(str, array.shape)) or "scalar"
        lines.append(f'{", " if index else "  "}{{ "name" : "{name}"\n  , "dimensions" : "{shape}"\n')
        lines.append(f'  , "values" : [ {", ".join(words)} ]\n  }}\n')
    return "".join([*lines, "]\n"]).encode()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int32", "int64", "uint64", "bool"])
def test_outputs_of_each_dtype(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    found = parse_outputs(outputs(y=array), {"y": dtype})["y"]
    assert found.dtype == array.dtype
    assert found.tolist() == array.reshape(-1).tolist()


def test_several_outputs_and_strange_names() -> None:
    raw = outputs(**{'a "b" {c}': np.array([1.5]), "y:0": np.array(2), "other": np.array([3])})
    found = parse_outputs(raw, {'a "b" {c}': "float32", "y:0": "int32"})
    assert {name: value.tolist() for name, value in found.items()} == {'a "b" {c}': [1.5], "y:0": [2]}


def test_large_integers_are_exact() -> None:
    largest = np.array([2**63 - 1, -(2**63)], np.int64)
    assert parse_outputs(outputs(y=largest), {"y": "int64"})["y"].tolist() == largest.tolist()


@pytest.mark.parametrize(
    ("words", "dtype"), [("1.5", "int32"), ("300", "int8"), ("one", "float32"), ("1,,2", "float32")]
)
def test_values_that_are_not_of_their_dtype(words: str, dtype: str) -> None:
    raw = f'[\n  {{ "name" : "y"\n  , "dimensions" : "1"\n  , "values" : [ {words} ]\n  }}\n]\n'.encode()
    with pytest.raises(AgentError, match=f"no {dtype}"):
        parse_outputs(raw, {"y": dtype})


def test_values_that_are_not_finite_come_back() -> None:
    raw = b'[\n  { "name" : "y"\n  , "dimensions" : "3"\n  , "values" : [ nan, -inf, 1e-05 ]\n  }\n]\n'
    found = parse_outputs(raw, {"y": "float32"})["y"]
    assert np.isnan(found[0])
    assert np.isneginf(found[1])
    assert found[2] == np.float32(1e-5)


@given(st.lists(st.floats(width=32), max_size=30))
def test_floats_survive_to_six_digits(values: list[float]) -> None:
    array = np.array(values, np.float32)
    found = parse_outputs(outputs(y=array.astype(float)), {"y": "float32"})["y"]
    np.testing.assert_allclose(found, array, rtol=1e-5)


@given(st.binary(max_size=200), st.sampled_from([times((0, 0, 4, 0)), profile(("a", 1.0)), outputs(y=np.array([1.0]))]))
def test_any_bytes(raw: bytes, good: bytes) -> None:
    for blob in (raw, good[:-20] + raw, raw + good):
        parse_profile(blob)
        parse_layers(blob)
        with contextlib.suppress(AgentError):
            parse_times(blob)
        with contextlib.suppress(AgentError):
            parse_outputs(blob, {"y": "float32"})
