"""Engines are built on the device once; never a stale one; a build that fails says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from peers import trt
from seatrial_runner.builds import told
from seatrial_runner.bundle import Bundle
from seatrial_runner.condition.clean import clean
from seatrial_runner.plan import Event, Plan
from seatrial_runner.records import Build
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import TrialRunner, open_trial
from seatrial_targets.errors import BundleError, DeviceError, DiskFullError, SeatrialError, UserError
from seatrial_targets.inventory import Device

ONE = Plan(solo_runs=1, memory_runs=0, solo_iterations=4, warmup_iterations=0, warmup_min_ns=0)
Opened = Callable[[Bundle], AbstractContextManager[TrialRunner]]


@pytest.fixture
def opened(jetson: Device) -> Opened:
    return lambda bundle: open_trial(jetson, {"candidate": bundle}, ONE)


def built(opened: Opened, bundle: Bundle) -> Build:
    with opened(bundle) as runner:
        return runner.trial.builds["candidate"]


def engine(device: Device) -> Path:
    (found,) = (Path(str(device.root)) / "engines").glob("*/engine.plan")
    return found


def test_an_engine_is_built_once(opened: Opened, make_bundle, jetson: Device) -> None:
    first = built(opened, make_bundle())
    about = json.loads(engine(jetson).with_name("about.json").read_text())
    again = built(opened, make_bundle())
    assert (first.cached, again.cached) == (False, True)
    assert first.size_bytes == engine(jetson).stat().st_size
    assert again == first.model_copy(update={"cached": True})
    assert first.precisions == {"int8": 1}
    assert first.seconds is not None
    assert first.system_peak_delta is not None
    assert about["flags"] == ["--int8", "--noTF32", "--stronglyTyped"] or "--stronglyTyped" in about["flags"]


def test_a_build_is_told_in_words() -> None:
    build = Build(
        what="TensorRT engine", key="k", cached=False, seconds=41.4, system_peak_delta=1_200_000_000,
        precisions={"fp16": 1, "int8": 20}, warnings=("a kernel was not tried",),
    )  # fmt: skip
    assert told({"candidate": build}) == (
        "candidate: the TensorRT engine was built in 41 s; the machine's memory rose by 1.20 GB; of 21 layers that"
        " multiply, 1 in fp16, 20 in int8",
        "candidate: a kernel was not tried",
    )
    again = build.model_copy(update={"cached": True, "warnings": ()})
    assert told({"candidate": again})[0].startswith("candidate: the TensorRT engine was there, built in 41 s")


def test_only_an_engine_that_must_be_built_needs_the_model_there(opened: Opened, make_bundle, jetson: Device) -> None:
    bundle = make_bundle()
    built(opened, bundle)
    blob = Path(str(jetson.root)) / "blobs" / bundle.entry("model.onnx").sha256
    blob.unlink()
    assert built(opened, bundle).cached
    assert not blob.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"version": "10.3.1"},
        *(
            pytest.param(change, marks=pytest.mark.slow)
            for change in ({"version": "8.6.1"}, {"sms": 4}, {"gpu": "Thor"}, {"capability": "8.6"})
        ),
    ],
    ids=str,
)
def test_another_tensorrt_or_gpu_builds_anew(opened: Opened, make_bundle, trtexec: Path, change: dict) -> None:
    first = built(opened, make_bundle())
    trt.configure(trtexec, **change)
    second = built(opened, make_bundle())
    assert not second.cached
    assert second.key != first.key


@pytest.mark.slow
def test_another_model_or_other_shapes_build_anew(opened: Opened, make_bundle) -> None:
    keys = [
        built(opened, bundle).key
        for bundle in (make_bundle(), make_bundle("b", scale=0.5), make_bundle("c", batch="N"))
    ]
    assert len(set(keys)) == 3


@pytest.mark.slow
def test_the_timing_cache_is_kept_and_shared(opened: Opened, make_bundle, jetson: Device) -> None:
    for bundle in (make_bundle(), make_bundle("other", scale=0.5)):
        built(opened, bundle)
    (cache,) = (Path(str(jetson.root)) / "timing").iterdir()
    assert cache.read_text().count("timing cache") == 2
    logs = [path.read_text() for path in (Path(str(jetson.root)) / "engines").glob("*/build.log")]
    assert sum("bytes of timing cache from" in log for log in logs) == 1


@pytest.mark.slow
def test_a_damaged_engine_is_built_anew(opened: Opened, make_bundle, jetson: Device) -> None:
    built(opened, make_bundle())
    with engine(jetson).open("r+b") as file:
        file.seek(40)
        file.write(b"\0")
    assert not built(opened, make_bundle()).cached
    assert built(opened, make_bundle()).cached


def test_what_lies_under_the_right_name_but_is_not_it_is_built_anew(
    opened: Opened, make_bundle, jetson: Device
) -> None:
    built(opened, make_bundle())
    about = engine(jetson).with_name("about.json")
    about.write_text(about.read_text().replace("10.3.0", "10.3.1"))
    assert not built(opened, make_bundle()).cached


@pytest.mark.slow
def test_an_engine_of_another_build_of_tensorrt_is_built_anew_when_it_is_refused(
    opened: Opened, make_bundle, jetson: Device, trtexec: Path
) -> None:
    """The device does not tell the fourth number of its version: only TensorRT itself sees the difference."""
    built(opened, make_bundle())
    old = engine(jetson).read_bytes()
    trt.configure(trtexec, build=26)
    with opened(make_bundle()) as runner:
        assert runner.trial.builds["candidate"].cached
        runner.solo(1)
    assert [run.status for run in runner.trial.runs] == ["ok"]
    assert engine(jetson).read_bytes()[24:28] != old[24:28]


def test_clean_removes_engines(opened: Opened, make_bundle, jetson: Device) -> None:
    built(opened, make_bundle())
    with open_transport(jetson) as transport:
        assert clean(transport) > 0
    assert sorted(path.name for path in Path(str(jetson.root)).iterdir()) == []


FAILURES = {
    "killed": (DeviceError, "killed .*; stop what else runs there"),
    "memory": (DeviceError, "too little memory to build.*OutOfMemory.*add swap"),
    "disk": (DiskFullError, "no space left for the engine; .*seatrial devices clean jetson"),
    "parse": (UserError, "builds no engine of conv: .*DynamicQuantizeLinear.*seatrial lint .*model.onnx --target"),
}


@pytest.mark.parametrize("fault", FAILURES)
def test_a_build_that_fails(opened: Opened, make_bundle, trtexec: Path, jetson: Device, fault: str) -> None:
    trt.configure(trtexec, faults={"build": fault})
    kind, words = FAILURES[fault]
    with pytest.raises(kind, match=words) as caught:
        built(opened, make_bundle())
    assert type(caught.value) is kind
    root = Path(str(jetson.root))
    assert list((root / "engines").iterdir()) == []
    assert not (root / "runs").exists() or list((root / "runs").iterdir()) == []
    trt.configure(trtexec, faults={})
    assert not built(opened, make_bundle()).cached


@pytest.mark.slow
def test_kernels_that_memory_kept_from_being_tried_are_told(opened: Opened, make_bundle, trtexec: Path) -> None:
    trt.configure(trtexec, faults={"build": "tactics"})
    for _ in range(2):
        assert "this engine may be faster" in built(opened, make_bundle()).warnings[0]


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ({"disk_free": 1_000_000}, DiskFullError, "needs up to"),
        ({"memory_available": 100_000_000}, DeviceError, "building the engine needs at least"),
    ],
)
def test_no_build_begins_that_can_not_end_well(
    opened: Opened, make_bundle, monkeypatch: pytest.MonkeyPatch, state: dict, kind: type[SeatrialError], words: str
) -> None:
    from seatrial_runner.runtime.tensorrt import runtime

    real = runtime.read_state
    monkeypatch.setattr(runtime, "read_state", lambda transport, **how: real(transport, **how).model_copy(update=state))
    with pytest.raises(kind, match=words):
        built(opened, make_bundle())


def test_the_user_is_told_that_a_build_takes_long(jetson: Device, make_bundle) -> None:
    events: list[Event] = []
    with open_trial(jetson, {"candidate": make_bundle()}, ONE, on_event=events.append):
        pass
    assert any("building the engine of conv" in event.stage for event in events)


def test_a_bundle_for_other_versions_of_tensorrt(opened: Opened, make_bundle, trtexec: Path) -> None:
    trt.configure(trtexec, version="8.4.0")
    with pytest.raises(BundleError, match=r"made for TensorRT 8.5 .*; the device has 8.4.0"):
        built(opened, make_bundle())


def test_a_bundle_without_the_record_of_its_build(opened: Opened, make_bundle) -> None:
    bundle = make_bundle()
    (bundle.path / "build.json").unlink()
    shutil.copy(bundle.path / "golden/x.npy", bundle.path / "build.json")
    with pytest.raises(BundleError, match="export the bundle again"):
        built(opened, bundle)
