"""Options of trtexec by version: the same figures from each, and none that it does not know."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers import trt
from seatrial_runner.enginebuild import EngineBuild, InputProfile, modes_for
from seatrial_runner.runtime.tensorrt.commands import (
    Query,
    QuerySettings,
    build_command,
    query_command,
    require_asked_for,
)
from seatrial_runner.runtime.tensorrt.report import Report
from seatrial_runner.runtime.tensorrt.version import Version
from seatrial_targets.errors import AgentError, UserError

VERSIONS = [Version(8, 6, 1), Version(10, 3, 0), Version(10, 16, 0), Version(11, 1, 0)]
SETTINGS = [QuerySettings(t, s, g) for t in (False, True) for s in (False, True) for g in (False, True)]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The stand-in's own table of options, which follows NVIDIA's sources."""
    monkeypatch.syspath_prepend(str(trt.SOURCES))
    import trtexec_cli

    yield trtexec_cli
    sys.modules.pop("trtexec_cli")


def known(cli, version: Version, tmp_path: Path) -> set[str]:
    program = trt.install(tmp_path / str(version), version=".".join(map(str, version[:3])))
    cli.HERE = str(program.parent)
    return cli.Settings().options()


def query(**changes: object) -> Query:
    values = {"engine": "e.plan", "inputs": {"x": "x.bin"}, "shapes": {}, "iterations": 20, "warmup_ms": 5}
    return Query(**{**values, "settings": QuerySettings(), **changes})  # type: ignore[arg-type]


def names(options: list[str]) -> set[str]:
    return {option.partition("=")[0][2:] for option in options}


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_every_option_exists_in_its_version(cli, version: Version, tmp_path: Path) -> None:
    record = EngineBuild(
        onnx_sha256="0" * 64,
        form="qdq-fp16",
        opset=17,
        modes=modes_for("qdq-fp16", (8, 5), (12,)),
        profiles={"x": InputProfile(min=(1, 3), opt=(1, 3), max=(2, 3))},
        sparsity=True,
        optimization_level=3,
        workspace_bytes=1 << 30,
    )
    options = known(cli, version, tmp_path)
    flags = record.trtexec_flags(version[:3])
    assert names(build_command(version, "m.onnx", "e.plan", flags, "t.cache", "l.json")) <= options
    for settings in SETTINGS:
        full = query(settings=settings, shapes={"x": (1, 3)}, profile="p.json", layers="l.json")
        assert names(query_command(version, full)) <= options


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_same_settings_in_every_version(version: Version, settings: QuerySettings) -> None:
    """What the options do, by the defaults of that version (sampleOptions.cpp)."""
    given = names(settings.flags(version))
    if version >= (11,):
        in_effect = QuerySettings(
            "includeDataTransfers" in given, "noSpinWait" not in given, "noCudaGraph" not in given
        )
    else:
        in_effect = QuerySettings("noDataTransfers" not in given, "useSpinWait" in given, "useCudaGraph" in given)
    assert in_effect == settings


def test_version_11_warns_of_none_of_our_options() -> None:
    deprecated = {"noDataTransfers", "useSpinWait", "useCudaGraph", "separateProfileRun", "stronglyTyped"}
    for settings in SETTINGS:
        assert not names(query_command(Version(11, 1, 0), query(settings=settings, profile="p"))) & deprecated


def test_a_build_before_8_6_has_another_word_for_stopping() -> None:
    old, new = (build_command(version, "m", "e", [], "t", "l") for version in (Version(8, 5, 2), Version(8, 6, 1)))
    assert "--buildOnly" in old
    assert "--skipInference" in new


def test_names_and_shapes() -> None:
    options = query_command(VERSIONS[1], query(inputs={"x:0": "a.bin", "y": "b.bin"}, shapes={"x:0": (1, 3, 8)}))
    assert "--loadInputs='x:0':a.bin,y:b.bin" in options
    assert "--shapes='x:0':1x3x8" in options


@pytest.mark.parametrize("name", ["a,b", "it's", 'say "x"', "line\nend"])
def test_names_that_trtexec_has_no_way_to_take(name: str) -> None:
    with pytest.raises(UserError, match="rename it"):
        query_command(VERSIONS[0], query(inputs={name: "x.bin"}))


@given(st.text(min_size=1, max_size=20))
def test_any_name_is_taken_whole_or_refused(name: str) -> None:
    try:
        options = query_command(VERSIONS[0], query(inputs={name: "x.bin"}))
    except UserError:
        return
    (value,) = (option.partition("=")[2] for option in options if option.startswith("--loadInputs="))
    # As splitToStringVec and splitNameAndValue of trtexec take it apart.
    assert "," not in value
    parts = value.split("'")
    assert (parts[1] if len(parts) == 3 else value.rpartition(":")[0]) == name


def test_other_settings_than_asked_for_are_refused() -> None:
    told = QuerySettings().echoed()
    require_asked_for(Report(settings=told), QuerySettings())
    with pytest.raises(AgentError, match="Data transfers Enabled, where Disabled"):
        require_asked_for(Report(settings={**told, "Data transfers": "Enabled"}), QuerySettings())
    with pytest.raises(AgentError, match="does not say"):
        require_asked_for(Report(), QuerySettings())


def test_a_graph_that_could_not_be_captured_is_no_lie() -> None:
    told = {**QuerySettings().echoed(), "CUDA Graph": "Disabled (could not be captured)"}
    require_asked_for(Report(settings=told), QuerySettings())
