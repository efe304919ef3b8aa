"""Everything that can be wrong with a job, as a table: both agents must name it, and neither may crash on it.

Each entry makes a job text from a `Case`; with it stage, kind and a part of the message that must come out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from seatrial_runner.job import ArmJob, Job

from .conftest import TOKEN, Case

Make = Callable[[Case], str | Job]
TABLE: dict[str, tuple[Make, str, str, str]] = {}


def bad(stage: str, kind: str, message: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        TABLE[make.__name__] = (make, stage, kind, message)
        return make

    return add


def broken_file(case: Case, content: Callable[[bytes], bytes], which: str = "double-x") -> Job:
    """A job whose input file was changed by ``content``."""
    arm = case.doubling()
    path = case.folder / which
    path.write_bytes(content(path.read_bytes()))
    return case.job(arm)


def changed_line(case: Case, old: str, new: str) -> str:
    text = case.job(case.doubling()).render()
    assert old in text
    return text.replace(old, new)


@bad("job", "harness_error", "unknown key 'colour'")
def unknown_key(case: Case) -> str:
    return changed_line(case, "threads 1\n", "threads 1\ncolour red\n")


@bad("job", "harness_error", "unknown key 'threads'")
def key_of_the_job_within_an_arm(case: Case) -> str:
    return changed_line(case, "\nend\n", "\nthreads 1\nend\n")


@bad("job", "harness_error", "without 'end'")
def job_cut_short(case: Case) -> str:
    return changed_line(case, "\nend\n", "\n")


@bad("job", "harness_error", "integer from")
def number_too_large(case: Case) -> str:
    return changed_line(case, "threads 1\n", "threads 99999999999999999999\n")


@bad("job", "harness_error", "integer from")
def number_with_a_tail(case: Case) -> str:
    return changed_line(case, "threads 1\n", "threads 1x\n")


@bad("job", "harness_error", "missing")
def value_missing(case: Case) -> str:
    return changed_line(case, "threads 1\n", "threads \n")


@bad("job", "harness_error", "given twice")
def arm_twice(case: Case) -> str:
    return changed_line(case, "\nend\n", "\narm a\nend\n")


@bad("job", "harness_error", "given twice")
def tensor_twice(case: Case) -> str:
    return changed_line(case, "input ", "input float32 1,4 double-x x\ninput ")


@bad("job", "harness_error", "dtype")
def unknown_dtype(case: Case) -> str:
    return changed_line(case, "input float32", "input float12")


@bad("job", "harness_error", "2^40")
def shape_that_overflows(case: Case) -> str:
    return changed_line(case, "input float32 1,4", "input float32 1099511627776,1099511627776,1099511627776")


@bad("job", "harness_error", "dimensions")
def shape_of_too_many_dimensions(case: Case) -> str:
    return changed_line(case, "input float32 1,4", "input float32 " + ",".join("1" * 40))


@bad("job", "harness_error", "tolerance")
def tolerance_that_is_none(case: Case) -> str:
    return changed_line(case, " 1e-06 y", " nan y")


@bad("job", "harness_error", "iterations must be 1")
def no_iterations(case: Case) -> Job:
    return case.job(case.doubling(), iterations=0)


@bad("job", "harness_error", "two arms")
def two_arms_for_memory(case: Case) -> Job:
    return case.job({"a": case.doubling(), "b": case.doubling()}, mode="memory")


@bad("job", "harness_error", "to be first")
def first_arm_that_is_not_there(case: Case) -> Job:
    return case.job(case.doubling(), first="b")


@bad("job", "harness_error", "mode evaluate wants samples")
def evaluation_without_feeds(case: Case) -> Job:
    return case.job(case.doubling(), mode="evaluate", samples=3)


@bad("job", "harness_error", "")
def option_before_its_provider(case: Case) -> str:
    return changed_line(case, "optimization all\n", "provider_option key value\noptimization all\n")


@bad("evaluate", "device_error", "holds 5 bytes where 32 belong")
def evaluation_of_a_cut_file(case: Case) -> Job:
    (case.folder / "in").write_bytes(bytes(5))
    arm = dataclasses.replace(case.doubling(), feeds=("in",), fetches=("out",))
    return case.job(arm, mode="evaluate", samples=2)


@bad("evaluate", "device_error", "no/out")
def evaluation_into_a_folder_that_is_not_there(case: Case) -> Job:
    (case.folder / "in").write_bytes(bytes(16))
    arm = dataclasses.replace(case.doubling(), feeds=("in",), fetches=("no/out",))
    return case.job(arm, mode="evaluate", samples=1)


@bad("evict", "device_error", "no-such-file")
def eviction_of_nothing(case: Case) -> Job:
    return Job(token=TOKEN, mode="evict", evict=("no-such-file",))


@bad("library", "device_error", "can't be loaded")
def library_missing(case: Case) -> Job:
    return case.job(case.doubling(), library="/no/such/libonnxruntime.so")


@bad("library", "device_error", "can't be loaded")
def library_that_is_text(case: Case) -> Job:
    (case.folder / "text.so").write_text("not a library\n")
    return case.job(case.doubling(), library=str(case.folder / "text.so"))


@bad("library", "user_error", "no symbol OrtGetApiBase")
def library_of_something_else(case: Case) -> Job:
    return case.job(case.doubling(), library="libm.so.6")


@bad("session", "device_error", "No such file")
def model_missing(case: Case) -> Job:
    return case.job(dataclasses.replace(case.doubling(), model="nowhere"))


@bad("session", "user_error", "can't be loaded")
def model_that_is_text(case: Case) -> Job:
    arm = case.doubling()
    (case.folder / arm.model).write_text("not a model, but long enough to look at")
    return case.job(arm)


@bad("input", "user_error", "an input 'x' (float32 (1, 4)) that the bundle lacks")
def input_missing(case: Case) -> Job:
    return case.job(dataclasses.replace(case.doubling(), inputs=()))


@bad("input", "user_error", "an input 'z' that the model lacks")
def input_too_many(case: Case) -> Job:
    arm = case.doubling()
    return case.job(dataclasses.replace(arm, inputs=(*arm.inputs, case.tensor("z", np.zeros(1, np.float32)))))


@bad("input", "user_error", "an output 'y' (float32 (1, 4)) that the bundle lacks")
def output_missing(case: Case) -> Job:
    return case.job(dataclasses.replace(case.doubling(), outputs=()))


@bad("input", "user_error", "an output 'z' that the model lacks")
def output_too_many(case: Case) -> Job:
    arm = case.doubling()
    return case.job(dataclasses.replace(arm, outputs=(*arm.outputs, case.tensor("z", np.zeros(1, np.float32), 0.1))))


@bad("input", "user_error", "'x' is float32, the bundle's is float64")
def input_of_wrong_dtype(case: Case) -> Job:
    return case.job(dataclasses.replace(case.doubling(), inputs=(case.tensor("x", np.zeros((1, 4))),)))


@bad("input", "user_error", "'x' has shape (1, 4), the bundle's (1, 5)")
def input_of_wrong_shape(case: Case) -> Job:
    return case.job(dataclasses.replace(case.doubling(), inputs=(case.tensor("x", np.zeros((1, 5), np.float32)),)))


@bad("input", "user_error", "is not a tensor")
def input_that_is_a_sequence(case: Case) -> Job:
    nodes = [helper.make_node("SequenceAt", ["s", "zero"], ["y"])]
    model = case.model(
        nodes, {}, {"y": (TensorProto.FLOAT, [1])}, {"zero": np.array(0)}, sequences={"s": TensorProto.FLOAT}
    )
    return case.job(ArmJob(model, (), (case.tensor("y", np.zeros(1, np.float32), 0.0),)))


@bad("input", "device_error", "No such file")
def input_file_missing(case: Case) -> Job:
    arm = case.doubling()
    (case.folder / "double-x").unlink()
    return case.job(arm)


@bad("input", "device_error", "regular file|Is a directory")
def input_file_that_is_a_folder(case: Case) -> Job:
    arm = case.doubling()
    (case.folder / "double-x").unlink()
    (case.folder / "double-x").mkdir()
    return case.job(arm)


def _cut(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


@bad("input", "device_error", "double-x")
def npy_empty(case: Case) -> Job:
    return broken_file(case, _cut(0))


@bad("input", "device_error", "double-x")
def npy_cut_in_its_magic(case: Case) -> Job:
    return broken_file(case, _cut(5))


@bad("input", "device_error", "double-x")
def npy_cut_in_its_header(case: Case) -> Job:
    return broken_file(case, _cut(50))


@bad("input", "device_error", "cut or changed")
def npy_cut_in_its_data(case: Case) -> Job:
    return broken_file(case, _cut(-1))


@bad("input", "device_error", "cut or changed")
def npy_with_a_tail(case: Case) -> Job:
    return broken_file(case, lambda content: content + b"x")


@bad("input", "device_error", "is not a .npy file")
def npy_that_is_text(case: Case) -> Job:
    return broken_file(case, lambda content: b"hello, this is some text and no array")


@bad("input", "device_error", "header")
def npy_of_a_huge_header(case: Case) -> Job:
    return broken_file(case, lambda content: content[:6] + b"\x02\x00\xff\xff\xff\xff" + content[12:])


@bad("input", "device_error", "header is not numpy's")
def npy_of_a_header_without_keys(case: Case) -> Job:
    return broken_file(case, lambda content: content[:10] + b"{" * 118 + content[128:])


def _saved(value: Any, case: Case) -> Job:
    arm = case.doubling()
    with (case.folder / "double-x").open("wb") as file:
        np.save(file, value)
    return case.job(arm)


@bad("input", "user_error", "Fortran order")
def npy_in_fortran_order(case: Case) -> Job:
    arm = case.doubling(rows=2, columns=2)
    with (case.folder / "double-x").open("wb") as file:
        np.save(file, np.asfortranarray(np.zeros((2, 2), np.float32)))
    return case.job(arm)


@bad("input", "user_error", "holds dtype '>f4'")
def npy_big_endian(case: Case) -> Job:
    return _saved(np.zeros((1, 4), ">f4"), case)


@bad("input", "user_error", "holds shape (4, 1), but tensor 'x' is (1, 4)")
def npy_of_another_shape(case: Case) -> Job:
    return _saved(np.zeros((4, 1), np.float32), case)


@bad("input", "user_error", "holds shape")
def npy_of_more_dimensions(case: Case) -> Job:
    return _saved(np.zeros((1, 4, 1), np.float32), case)


@bad("check", "device_error", "double-y: holds")
def golden_output_cut(case: Case) -> Job:
    return broken_file(case, _cut(-1), "double-y")


@bad("check", "device_error", "relative L2 error 0.5, allowed 0.1")
def output_wrong(case: Case) -> Job:
    arm = case.doubling()
    return case.job(
        dataclasses.replace(arm, outputs=(case.tensor("y", np.arange(4, dtype=np.float32)[None] * 4, 0.1),))
    )


def _one_op(case: Case, op: str, x: list[float], golden: list[float]) -> Job:
    model = case.model(
        [helper.make_node(op, ["x"], ["y"])], {"x": (TensorProto.FLOAT, [len(x)])}, {"y": (TensorProto.FLOAT, [len(x)])}
    )
    inputs = (case.tensor("x", np.array(x, np.float32)),)
    return case.job(ArmJob(model, inputs, (case.tensor("y", np.array(golden, np.float32), 10.0),)))


@bad("check", "device_error", "1 of 3 elements are NaN or infinite")
def output_nan(case: Case) -> Job:
    return _one_op(case, "Sqrt", [1, -1, 4], [1, 1, 2])


@bad("check", "device_error", "2 of 3 elements are NaN or infinite")
def output_infinite(case: Case) -> Job:
    return _one_op(case, "Reciprocal", [0, -0.0, 1], [1, 1, 1])


@bad("check", "device_error", "relative L2 error inf")
def output_where_zero_is_golden(case: Case) -> Job:
    return _one_op(case, "Neg", [1, 1], [0, 0])


@bad("check", "device_error", "came out with shape (2)|came out with shape (2,)")
def output_of_another_shape(case: Case) -> Job:
    nodes = [helper.make_node("NonZero", ["x"], ["t"]), helper.make_node("Squeeze", ["t", "zero"], ["y"])]
    model = case.model(
        nodes, {"x": (TensorProto.FLOAT, [3])}, {"y": (TensorProto.INT64, ["n"])}, {"zero": np.array([0])}
    )
    x = case.tensor("x", np.array([1, 0, 1], np.float32))
    return case.job(ArmJob(model, (x,), (case.tensor("y", np.array([0, 1, 2]), 0.0),)))


@bad("run", "device_error", "the inference failed")
def inference_that_fails(case: Case) -> Job:
    model = case.model(
        [helper.make_node("Gather", ["x", "i"], ["y"])],
        {"x": (TensorProto.FLOAT, [2]), "i": (TensorProto.INT64, [1])},
        {"y": (TensorProto.FLOAT, [1])},
    )
    inputs = (case.tensor("x", np.zeros(2, np.float32)), case.tensor("i", np.array([7])))
    return case.job(ArmJob(model, inputs, (case.tensor("y", np.zeros(1, np.float32), 0.0),)))


@bad("energy", "device_error", "counter fake:0")
def counter_missing(case: Case) -> Job:
    return case.job(case.doubling(), mode="energy", counters={"fake:0": str(case.folder / "none")}, window_ns=1000)


@bad("energy", "device_error", "does not hold one integer")
def counter_of_text(case: Case) -> Job:
    (case.folder / "counter").write_text("12 apples")
    return case.job(case.doubling(), mode="energy", counters={"fake:0": str(case.folder / "counter")}, window_ns=1000)


@bad("energy", "user_error", "too many")
def readings_beyond_reason(case: Case) -> Job:
    (case.folder / "counter").write_text("12")
    counters = {"fake:0": str(case.folder / "counter")}
    return case.job(case.doubling(), mode="energy", counters=counters, window_ns=10**10, sample_period_ns=1)


def text_of(made: str | Job) -> str:
    """Return what goes into the job file."""
    return made if isinstance(made, str) else made.render()
