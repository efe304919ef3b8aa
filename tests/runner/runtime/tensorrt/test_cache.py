"""What an engine depends on: any difference is another engine."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from seatrial_runner.runtime.tensorrt.cache import EngineKey, keep_only
from seatrial_runner.runtime.tensorrt.identity import Identity
from seatrial_runner.runtime.tensorrt.version import Version

IDENTITY = Identity(
    version=Version(10, 3, 0, 30), l4t="36.4.3", gpu="Orin", capability="8.7", sms=8, power_mode="25W", trtexec="/t"
)
KEY = EngineKey("a" * 64, IDENTITY, ("--int8", "--minShapes=x:1x3"))
OTHER = {
    "version": Version(10, 3, 0, 26),
    "l4t": "36.4.0",
    "gpu": "Thor",
    "capability": "11.0",
    "sms": 16,
    "power_mode": "15W",
    "stand_in": True,
}


@pytest.mark.parametrize("field", OTHER)
def test_another_device_is_another_key(field: str) -> None:
    other = dataclasses.replace(KEY, identity=dataclasses.replace(IDENTITY, **{field: OTHER[field]}))
    assert other.name != KEY.name
    assert other.text != KEY.text
    assert other.timing != KEY.timing


@pytest.mark.parametrize(
    "change", [{"onnx_sha256": "b" * 64}, {"flags": ("--int8",)}, {"plugins": ("c" * 64,)}], ids=str
)
def test_another_model_or_build_is_another_key_with_the_same_timings(change: dict) -> None:
    other = dataclasses.replace(KEY, **change)
    assert other.name != KEY.name
    assert other.timing == KEY.timing


def test_the_order_of_flags_and_where_trtexec_lies_make_no_difference() -> None:
    other = dataclasses.replace(KEY, flags=KEY.flags[::-1], identity=dataclasses.replace(IDENTITY, trtexec="/u"))
    assert other.name == KEY.name


def test_what_lies_beside_the_engine_can_be_read() -> None:
    assert json.loads(KEY.text)["tensorrt"] == "10.3.0.30"


def test_the_least_recently_used_engines_go_and_those_in_use_stay(tmp_path: Path) -> None:
    here = tmp_path / "runs" / "1"
    here.mkdir(parents=True)
    for age, name in enumerate(["new", "old", "older", "used"]):
        (tmp_path / "engines" / name).mkdir(parents=True)
        subprocess.run(["touch", "-d", f"{age} hours ago", tmp_path / "engines" / name], check=True)
    subprocess.run(["sh", "-c", keep_only(2, ["used"])], cwd=here, check=True)
    assert sorted(path.name for path in (tmp_path / "engines").iterdir()) == ["new", "old", "used"]
