"""What a package needs and what is known to leave the Neural Engine, each rule on an operation that is just that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seatrial.verify.coreml.deployability import deployability
from seatrial.verify.coreml.package import Package

from .programs import mb, saved

HALF = torch.zeros(1, 4, 8, 8).half()
HOW = {"strides": [1, 1], "pad_type": "same"}


def report(build: Callable[..., Any], folder: Path, x: torch.Tensor = HALF, ios: int = 17, **more: Any) -> Any:
    soc = more.pop("soc", "")
    return deployability(Package(saved(build, {"x": x}, folder, ios, **more)), soc)


def rules(found: Any) -> dict[str, list[str]]:
    return {each["rule"]: [one["type"] for one in each["operations"]] for each in found["engine"]["leaves"]}


def conv(x: Any) -> Any:
    return mb.relu(x=mb.conv(x=x, weight=np.ones((4, 4, 3, 3), np.float16), **HOW))


def test_a_convolution_in_float16_needs_its_system_and_nothing_is_known_against_it(tmp_path: Path) -> None:
    found = report(conv, tmp_path)
    assert (found["ios"], rules(found), found["engine"]["inputs"]) == (17, {}, [])
    assert (found["engine"]["leaving"], found["engine"]["operations"]) == (0, 3)  # conv, relu, the output's identity
    systems = {each["type"]: (each["count"], each["since"], each["form"]) for each in found["operations"]}
    # coremltools defined convolutions anew for iOS 17, with 8-bit types; identity never.
    assert (systems["conv"], systems["identity"]) == ((1, 15, 17), (1, 15, 15))


def test_the_form_is_the_one_of_the_packages_own_system(tmp_path: Path) -> None:
    systems = {each["type"]: (each["since"], each["form"]) for each in report(conv, tmp_path, ios=16)["operations"]}
    assert systems["conv"] == (15, 15)


@pytest.mark.parametrize(
    ("rule", "build", "types"),
    [
        ("float32", lambda x: mb.cast(x=mb.relu(x=mb.cast(x=x, dtype="fp32")), dtype="fp16"), ["relu"]),
        ("integers", lambda x: mb.reduce_argmax(x=x, axis=1), ["reduce_argmax", "identity"]),
        ("reduce_prod", lambda x: mb.reduce_prod(x=x, axes=[1]), ["reduce_prod"]),
        ("gather", lambda x: mb.gather(x=x, indices=np.array([0, 1], np.int32), axis=1), ["gather"]),
        ("topk", lambda x: mb.topk(x=x, k=2, axis=-1)[0], ["topk"]),
        (
            "scatter",
            lambda x: mb.scatter(
                data=x, indices=np.array([0], np.int32), updates=np.zeros((1, 4, 8, 8), np.float16), axis=0
            ),
            ["scatter"],
        ),
        (
            "3-d",
            lambda x: mb.conv(x=mb.expand_dims(x=x, axes=[2]), weight=np.ones((4, 4, 1, 1, 1), np.float16)),
            ["conv"],
        ),
        (
            "control",
            lambda x: mb.cond(
                pred=mb.greater(x=mb.reduce_sum(x=x, axes=[0, 1, 2, 3]), y=np.float16(0)),
                _true_fn=lambda: mb.relu(x=x),
                _false_fn=lambda: mb.sigmoid(x=x),
            ),
            ["cond"],
        ),
    ],
)
def test_each_rule_names_its_operation(tmp_path: Path, rule: str, build: Callable[..., Any], types: list[str]) -> None:
    found = report(build, tmp_path)
    assert rules(found)[rule] == types
    assert all(each["source"].startswith("https://") for each in found["engine"]["leaves"])
    assert found["engine"]["leaving"] >= 1
    assert "estimate" in found["engine"]["estimate"]


def test_what_depends_on_the_chip(tmp_path: Path) -> None:
    package = Package(saved(lambda x: mb.sin(x=x), {"x": HALF}, tmp_path))
    assert rules(deployability(package, "Apple A14 Bionic")) == {"waves": ["sin"]}
    assert rules(deployability(package, "Apple A15 Bionic")) == {}
