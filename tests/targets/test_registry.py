"""Targets: those that are shipped, those of the user, and what `extends` does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial_targets import registry
from seatrial_targets.errors import ConfigError, UnknownNameError, UserError
from seatrial_targets.profile import TargetProfile
from seatrial_targets.units import size_bytes

SHIPPED = sorted(path.stem for path in registry.BUILT_IN.glob("*.yaml"))
SOURCE = re.compile(r"#.*https?://\S+")
GOOD = """summary: mine
precision: fp32
opset: 18
device: {kind: board, architecture: aarch64, os: linux}
runtime: {name: onnxruntime}
"""


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(registry.ENVIRONMENT, raising=False)


def folder(tmp_path: Path, **files: str) -> Path:
    target_folder = tmp_path / "targets"
    target_folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (target_folder / f"{name}.yaml").write_text(text)
    return target_folder


def test_the_targets_that_were_promised() -> None:
    promised = {
        *("x86-64-cpu-fp32", "x86-64-cpu-int8", "arm64-cpu-fp32", "arm64-cpu-int8"),
        *("raspberry-pi-4-fp32", "raspberry-pi-4-int8", "raspberry-pi-5-fp32", "raspberry-pi-5-int8"),
        *("android-arm64-fp32", "android-arm64-int8", "android-tegra-fp16", "android-tegra-int8"),
        *(f"jetson-{board}-fp16" for board in ("nano", "xavier-nx", "orin-nano", "orin-nx", "agx-orin", "thor")),
        *(f"jetson-{board}-int8" for board in ("xavier-nx", "orin-nano", "orin-nx", "agx-orin", "thor")),
        *(f"iphone-a{chip}-fp16" for chip in range(14, 20)),
        *("iphone-a17-int8", "mac-apple-silicon-fp16", "mac-m4-int8"),
    }
    assert promised <= set(registry.names())


def test_what_the_hardware_lacks_is_not_offered() -> None:
    assert "jetson-nano-int8" not in registry.names()
    assert "iphone-a14-int8" not in registry.names()


def test_families_are_no_targets() -> None:
    assert not [name for name in registry.names() if name.startswith("_")]
    with pytest.raises(UnknownNameError, match="unknown target '_jetson'"):
        registry.get("_jetson")


@pytest.mark.parametrize("name", registry.names())
def test_a_shipped_target_loads_and_survives_json(name: str) -> None:
    profile = registry.get(name)
    assert profile.name == name
    assert name.endswith(f"-{profile.precision}") or f"-{profile.precision}-" in name
    assert profile.summary
    assert TargetProfile.model_validate(profile.model_dump(mode="json", by_alias=True)) == profile
    assert TargetProfile.model_validate_json(profile.model_dump_json(by_alias=True)) == profile


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_cites_its_sources(name: str) -> None:
    text = (registry.BUILT_IN / f"{name}.yaml").read_text()
    points = re.findall(r"# Facts and their sources: (.*)", text)
    for other in [part for line in points for part in line.split(", ")]:
        assert SOURCE.search((registry.BUILT_IN / other).read_text()), other
    assert points or SOURCE.search(text)


@pytest.mark.parametrize("profile", registry.listed(), ids=lambda profile: profile.name)
def test_what_every_runtime_needs(profile: TargetProfile) -> None:
    quantization = profile.quantization
    if profile.runtime.name == "tensorrt":
        assert profile.opset is not None
        assert profile.opset <= 17  # the most that the parser of TensorRT 8.5 reads
    if profile.runtime.name == "tensorrt" and quantization:
        assert (quantization.activation, quantization.symmetric, quantization.quantize_bias) == ("int8", True, False)
    if profile.runtime.name == "onnxruntime":
        assert profile.runtime.providers == ("CPUExecutionProvider",)
        assert profile.runtime.threads == 1
    if profile.device.architecture == "x86_64" and quantization:
        assert quantization.activation == "uint8"


def test_values_come_down_the_family() -> None:
    pi = registry.get("raspberry-pi-5-int8")
    assert (pi.device.kind, pi.device.soc, pi.device.cores, pi.device.architecture) == (
        "board",
        "BCM2712",
        4,
        "aarch64",
    )
    assert pi.device.memory_bytes == (size_bytes("4 GiB"), size_bytes("8 GiB"))
    assert (pi.runtime.name, pi.runtime.versions, pi.opset) == ("onnxruntime", ">=1.21", 18)


def test_unknown_name_suggests() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown target 'raspbery-pi-5-int8'; did you mean 'raspberry-pi-5-int8'"
    ):
        registry.get("raspbery-pi-5-int8")


def test_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, mine=GOOD, child="extends: raspberry-pi-5-int8\nsummary: tuned\nruntime: {threads: 4}\n")
    assert {"mine", "child"} <= set(registry.names())
    child = registry.get("child")
    assert (child.name, child.summary, child.runtime.threads, child.device.soc) == ("child", "tuned", 4, "BCM2712")
    assert registry.source_of("mine") == Path("targets/mine.yaml")
    monkeypatch.chdir("/")
    monkeypatch.setenv(registry.ENVIRONMENT, str(tmp_path / "targets"))
    assert registry.get("mine").summary == "mine"
    monkeypatch.setenv(registry.ENVIRONMENT, f"{tmp_path / 'targets'}{os.pathsep}{tmp_path / 'targets'}")
    assert registry.get("mine").summary == "mine"


def test_a_file_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD)
    assert registry.get(str(tmp_path / "one.yaml")).name == "one"
    with pytest.raises(ConfigError, match="there is no such file"):
        registry.get(str(tmp_path / "two.yaml"))
    with pytest.raises(ConfigError, match=r"_jetson\.yaml:1:1: is a family"):
        registry.get(str(registry.BUILT_IN / "_jetson.yaml"))


def test_a_name_that_two_files_claim(tmp_path: Path) -> None:
    folder(tmp_path, **{"x86-64-cpu-int8": GOOD})
    with pytest.raises(ConfigError, match=r"targets/x86-64-cpu-int8\.yaml:1:1: target .* is also in .*profiles"):
        registry.get("x86-64-cpu-int8")


def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.ENVIRONMENT, "/nonexistent/targets")
    with pytest.raises(UserError, match="SEATRIAL_TARGETS names /nonexistent/targets, which is not a folder"):
        registry.names()


def test_a_circle(tmp_path: Path) -> None:
    folder(tmp_path, a="extends: b\n", b="extends: c\n", c="extends: a\n")
    with pytest.raises(ConfigError, match=r"targets/c\.yaml:1:10: extends: goes round in a circle: a -> b -> c -> a"):
        registry.get("a")
    folder(tmp_path, me="extends: me\n")
    with pytest.raises(ConfigError, match="goes round in a circle: me -> me"):
        registry.get("me")


def test_each_problem_names_the_file_that_it_is_in(tmp_path: Path) -> None:
    folder(
        tmp_path,
        _base=GOOD.replace("18", "9").replace("board", "bord"),
        child="extends: _base\nruntime:\n  thread: 4\n",
    )
    with pytest.raises(ConfigError) as caught:
        registry.get("child")
    assert caught.value.problems == (
        "targets/_base.yaml:3:8: opset: must be greater than or equal to 13, not 9",
        "targets/_base.yaml:4:16: device.kind: 'bord' is not one of computer, board, phone, tablet, vehicle;"
        " did you mean 'board'?",
        "targets/child.yaml:3:3: runtime.thread: unknown key; did you mean 'threads'?",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("extends: _jetsn\n", ":1:10: extends: unknown target or family '_jetsn'; did you mean '_jetson'?"),
        ("extends: [a]\n", ":1:10: extends: must be the name of one family or target"),
        ("extends: ../x\n", ":1:10: extends: unknown target or family '../x'"),
        ("name: other\n" + GOOD, ":1:7: name: must be that of the file, 'bad', or be left out"),
        (GOOD + "quantization: {}\n", ":1:1: precision is fp32, so quantization must be absent"),
        (GOOD.replace("fp32", "int8"), ":1:1: precision is int8, so quantization must be given"),
        (GOOD + "shapes: {x: [1, 0]}\n", ":6:17: shapes.x[1]: must be greater than or equal to 1, not 0"),
        (GOOD + "shapes: {x: 1x3}\n", ":6:13: shapes.x: must be a list, not '1x3'"),
        (GOOD + "shapes: {x: {min: [1], opt: [4]}}\n", ":6:10: shapes.x.max: is required"),
        (GOOD + "shapes: {x: {min: [2], opt: [1], max: [8]}}\n", ":6:13: shapes.x: min <= opt <= max must hold"),
        (GOOD + "shapes: {x: {enumerated: [[1], [1, 2]]}}\n", ":6:13: shapes.x: the enumerated shapes differ"),
        (GOOD.replace("linux", "linux, os_min: 17.4"), ":4:65: device.os_min: must be text; put it in quotes: '17.4'"),
        (GOOD.replace("linux", "linux, os_min: '3', os_max: '2'"), ":4:9: device: os_min (3) is above os_max (2)"),
        (
            GOOD.replace("onnxruntime", "onnxruntime, versions: 'about 3'"),
            "runtime.versions: 'about 3' is not a version condition",
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problem: str) -> None:
    folder(tmp_path, bad=text)
    with pytest.raises(ConfigError) as caught:
        registry.get("bad")
    assert problem in str(caught.value)


def test_a_broken_file_hides_no_other(tmp_path: Path) -> None:
    folder(tmp_path, mine=GOOD, broken="{", worse="[")
    assert registry.get("mine").name == "mine"
    assert {"broken", "mine"} <= set(registry.names())
    with pytest.raises(ConfigError) as caught:
        registry.listed()
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["targets/broken.yaml", "targets/worse.yaml"]


def test_shapes_of_all_kinds(tmp_path: Path) -> None:
    shapes = "shapes:\n  a: [1, 3]\n  b: {enumerated: [[1], [2]]}\n  c: {min: [1], opt: [4], max: [8]}\n  d: []\n"
    folder(tmp_path, mine=GOOD + shapes)
    profile = registry.get("mine")
    assert profile.shapes["a"] == (1, 3)
    assert profile.shapes["d"] == ()
    assert profile.model_dump(mode="json", by_alias=True)["shapes"] == {
        "a": [1, 3], "b": {"enumerated": [[1], [2]]}, "c": {"min": [1], "opt": [4], "max": [8]}, "d": [],
    }  # fmt: skip
    assert TargetProfile.model_validate(profile.model_dump(mode="json", by_alias=True)) == profile


def test_targets_of_an_installed_package(tmp_path: Path) -> None:
    package = tmp_path / "site" / "acme_targets"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "acme-board.yaml").write_text(GOOD)
    info = tmp_path / "site" / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[seatrial.targets]\nacme = acme_targets\n")
    code = "from seatrial_targets import registry; print(registry.get('acme-board').summary)"
    path = os.pathsep.join([str(tmp_path / "site"), str(registry.BUILT_IN.parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("mine\n", "")


def test_names_are_had_without_pydantic_or_yaml() -> None:
    asks = "import sys; from seatrial_targets import registry; registry.names()"
    code = f"{asks}; print({{'pydantic', 'yaml'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
