"""The record of how an engine is built: which flags for which TensorRT, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seatrial_runner.enginebuild import EngineBuild, Form, InputProfile, modes_for, read_engine_build
from seatrial_targets.errors import BundleError


def record(
    form: Form = "qdq-fp16", oldest: tuple[int, ...] = (8, 5), end: tuple[int, ...] = (12,), **more: Any
) -> EngineBuild:
    choose = more.pop("choose_fp16", False)
    modes = modes_for(form, oldest, end, choose_fp16=choose)
    return EngineBuild(onnx_sha256="0" * 64, form=form, opset=17, modes=modes, **{"tf32": True, **more})


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("fp32", {(8, 5, 2): (), (10, 3): ("--stronglyTyped",), (11, 0): ()}),
        ("fp16", {(8, 6, 1): ("--fp16",), (10, 16): ("--stronglyTyped",), (11, 4, 1): ()}),
        ("qdq-fp32", {(8, 6, 1): ("--int8",), (10, 3): ("--stronglyTyped",), (11, 0): ()}),
        ("qdq-fp16", {(8, 6, 1): ("--fp16", "--int8"), (10, 3): ("--stronglyTyped",), (11, 0): ()}),
    ],
)
def test_the_types_are_said_in_each_versions_own_words(form: Form, expected: dict[tuple[int, ...], Any]) -> None:
    made = record(form)
    assert {version: made.trtexec_flags(version) for version in expected} == expected


def test_a_builder_that_may_choose_is_weakly_typed_and_ends_with_10() -> None:
    made = record("qdq-fp32", end=(12,), choose_fp16=True)
    assert made.trtexec_flags((10, 3)) == ("--fp16", "--int8")
    with pytest.raises(BundleError, match=r"8\.5 to before 11; the device has 11\.0"):
        made.trtexec_flags((11, 0))


def test_a_version_older_than_the_target_is_refused() -> None:
    with pytest.raises(BundleError, match=r"made for TensorRT 10 and later; the device has 8\.6\.2"):
        record(oldest=(10,)).trtexec_flags((8, 6, 2))


def test_shapes_memory_and_tactics() -> None:
    made = record(
        "fp32",
        tf32=False,
        sparsity=True,
        optimization_level=4,
        workspace_bytes=512 << 20,
        profiles={
            "a": InputProfile(min=(1, 3), opt=(4, 3), max=(8, 3)),
            "b": InputProfile(min=(1,), opt=(2,), max=(3,)),
        },
    )
    shapes = ("--maxShapes=a:8x3,b:3", "--minShapes=a:1x3,b:1", "--optShapes=a:4x3,b:2")
    assert made.trtexec_flags((11, 0)) == (
        "--builderOptimizationLevel=4", shapes[0], "--memPoolSize=workspace:512", shapes[1], "--noTF32", shapes[2],
        "--sparsity=enable",
    )  # fmt: skip
    assert "--builderOptimizationLevel=4" not in made.trtexec_flags((8, 5, 2)), "it came with 8.6"


def test_the_oldest_words_for_memory_and_no_words_for_layers() -> None:
    made = record("fp16", oldest=(8, 2), workspace_bytes=1 << 30, float32_layers=("head/Gemm",))
    assert made.trtexec_flags((8, 2, 1)) == ("--fp16", "--workspace=1024")


def test_layers_that_float16_does_not_hold_are_held_in_float32_where_the_builder_chooses() -> None:
    made = record("fp16", float32_layers=("head/Gemm", "a/Conv"))
    held = "head/Gemm:fp32,a/Conv:fp32"
    assert made.trtexec_flags((8, 6, 1)) == (
        "--fp16", f"--layerOutputTypes={held}", f"--layerPrecisions={held}", "--precisionConstraints=obey",
    )  # fmt: skip
    assert made.trtexec_flags((10, 3)) == ("--stronglyTyped",), "the graph says it"


def test_it_survives_its_file_and_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "build.json"
    path.write_text(record().model_dump_json(by_alias=True))
    assert read_engine_build(path) == record()
    path.write_text('{"schema": "seatrial.engine-build/2"}')
    with pytest.raises(BundleError, match="export the bundle again"):
        read_engine_build(path)
    with pytest.raises(BundleError, match="can't be read"):
        read_engine_build(tmp_path / "none.json")
