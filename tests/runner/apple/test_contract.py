"""The host's half of the contract: what it asks, and that it can read every answer of the vectors."""

from __future__ import annotations

import json

import pytest

from seatrial_runner.manifest import Manifest
from seatrial_runner.plan import Plan
from seatrial_runner.run import RunRequest
from seatrial_runner.runtime.coreml import contract
from seatrial_runner.runtime.output import parse_result
from seatrial_targets import registry
from seatrial_targets.errors import BundleError

from .vectors import NAMES, load

RAW = {
    "schema": "seatrial.bundle/1",
    "name": "tiny",
    "target": "iphone-a17-fp16",
    "profile": {},
    "runtime": "coreml",
    "precision": "fp16",
    "artifact": "model.mlpackage",
    "files": [],
    "inputs": [{"name": "x", "dtype": "float16", "shape": [1, 3], "golden_shape": [1, 3], "golden": "golden/x.npy"}],
    "outputs": [
        {
            "name": "y",
            "dtype": "float32",
            "shape": [1],
            "golden_shape": [1],
            "golden": "golden/y.npy",
            "tolerance": 0.01,
        }
    ],
    "size_bytes": 0,
}
PROFILE = registry.get("iphone-a17-fp16")


def arm(**changes: object) -> dict[str, object]:
    manifest = Manifest.model_validate({**RAW, **changes})
    return contract.arm(manifest, PROFILE, lambda path: f"/phone/{path}")


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_of_the_vectors_can_be_read(name: str) -> None:
    expect = load(name)["expect"]
    result = parse_result(f"{json.dumps(expect)}\nseatrial-end t0k3n\n".encode(), "t0k3n")
    assert (result.status, result.agent) == (expect["status"], "apple")


def test_a_job_has_the_keys_of_the_vectors() -> None:
    request = RunRequest("duet", {"a": "candidate", "b": "baseline"}, Plan(), "b")
    job = json.loads(contract.render(request, {"candidate": arm(), "baseline": arm()}, placement=True))
    known = load("duet")["job"]
    assert job.keys() == known.keys()
    assert job["arms"]["a"].keys() == known["arms"]["a"].keys()
    assert (job["first"], job["mode"], job["iterations"]) == ("b", "latency", Plan().duet_iterations)


def test_paths_become_those_of_the_device() -> None:
    made = arm()
    assert made["model"] == "/phone/model.mlpackage"
    assert made["outputs"] == [
        {"name": "y", "dtype": "float32", "shape": [1], "path": "/phone/golden/y.npy", "tolerance": 0.01}
    ]


@pytest.mark.parametrize(("shape", "kind"), [([8, 6, 3], "rgb"), ([8, 6], "gray")])
def test_pixels_are_told_to_be_an_image(shape: list[int], kind: str) -> None:
    image = {"name": "image", "dtype": "uint8", "shape": shape, "golden_shape": shape, "golden": "golden/x.npy"}
    made = arm(inputs=[image])["inputs"]
    assert made[0]["image"] == kind  # type: ignore[index]


def test_the_targets_compute_units_are_asked_for() -> None:
    runtime = PROFILE.runtime.model_copy(update={"providers": ("CPU_AND_NE",)})
    profile = PROFILE.model_copy(update={"runtime": runtime})
    assert contract.arm(Manifest.model_validate(RAW), profile, str)["compute_units"] == "CPU_AND_NE"


def test_units_that_core_ml_does_not_have() -> None:
    runtime = PROFILE.runtime.model_copy(update={"providers": ("NPU",)})
    with pytest.raises(BundleError, match="compute units 'NPU'; Core ML has ALL, CPU_ONLY"):
        contract.arm(Manifest.model_validate(RAW), PROFILE.model_copy(update={"runtime": runtime}), str)


@pytest.mark.parametrize(("change", "words"), [({"runtime": "tensorrt"}, "tensorrt"), ({"outputs": []}, "golden")])
def test_a_bundle_that_can_not_be_run(change: dict[str, object], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        arm(**change)
