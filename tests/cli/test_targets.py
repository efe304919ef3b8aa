"""seatrial targets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from peers.program import Call
from seatrial_targets import registry
from seatrial_targets.profile import TargetProfile


def test_the_list_as_json_is_of_objects_with_a_name(call: Call) -> None:
    document = call("targets", "list", "--json").document
    assert [target["name"] for target in document] == list(registry.names())
    assert TargetProfile.model_validate(document[0]) == registry.get(document[0]["name"])


def test_the_list_for_people_has_a_line_for_each(call: Call) -> None:
    lines = call("targets", "list").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(registry.names())


def test_what_is_shown_is_resolved_and_can_be_a_target_file(call: Call, tmp_path: Path) -> None:
    said = call("targets", "show", "raspberry-pi-5-int8")
    shown = yaml.safe_load(said.out)
    assert shown["quantization"]["scheme"] == "static"
    assert "extends" not in shown
    file = Path("raspberry-pi-5-int8.yaml")
    file.write_text(said.out)
    assert registry.get(str(file)) == registry.get("raspberry-pi-5-int8")
    assert call("targets", "check", file).code == 0


def test_a_target_of_ones_own_is_listed(call: Call) -> None:
    Path("targets").mkdir()
    Path("targets/mine.yaml").write_text("extends: x86-64-cpu-fp32\nsummary: My machine\n")
    names = [target["name"] for target in call("targets", "list", "--json").document]
    assert "mine" in names
    assert call("targets", "show", "mine", "--json").document["summary"] == "My machine"


def test_all_problems_of_all_files_are_said_with_their_places(call: Call) -> None:
    Path("a.yaml").write_text("extends: x86-64-cpu-fp32\nprecison: fp32\nbudgets:\n  latency_p90: 18\n")
    Path("b.yaml").write_text("extends: x86-64-cpu-fp23\n")
    Path("c.yaml").write_text("extends: x86-64-cpu-fp32\nsummary: Fine\n")
    said = call("targets", "check", "a.yaml", "b.yaml", "c.yaml")
    assert said.code == 2
    assert "a.yaml:2:1: precison: unknown key; did you mean 'precision'?" in said.err
    assert "a.yaml:4:16: budgets.latency_p90: 18 has no unit; write '18 ms'" in said.err
    assert "b.yaml:1:10: extends" in said.err
    assert "c.yaml" not in said.err


@pytest.mark.parametrize("name", ["notes.txt", "absent.yaml"])
def test_what_is_no_target_file(call: Call, name: str) -> None:
    said = call("targets", "check", name)
    assert said.code == 2
    assert name in said.err


@pytest.mark.parametrize("kind", ["target", "devices", "budgets"])
def test_a_schema_for_editors(call: Call, kind: str) -> None:
    document = call("targets", "schema", kind, "--json").document
    assert document["$schema"].startswith("https://json-schema.org/")
    assert "properties" in document
