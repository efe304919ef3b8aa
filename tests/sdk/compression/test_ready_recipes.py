"""Ready recipes are recipes; they are found by name; and a claim that a target does not keep is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seatrial
from seatrial.cli import cli
from seatrial.compression.claims import convolutional_part, remarks
from seatrial.compression.recipe import Recipe, as_recipe
from seatrial.compression.recipes import names, recipe_path
from seatrial.compression.surgery.settings import FoldBatchNorm
from seatrial.source import ModelSource
from seatrial_targets import registry
from seatrial_targets.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize("name", names())
def test_each_is_a_recipe_of_its_name(name: str) -> None:
    recipe = as_recipe(name)
    assert recipe.name == name
    assert recipe == Recipe.load(recipe_path(name))


def test_the_recipes_of_the_documentation_are_recipes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "train-and-distil.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```yaml\n(steps:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 5
    for text in shown:
        Recipe.loads(text, "train-and-distil.md")


def test_files_come_before_names_and_unknown_names_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'int-8'; did you mean 'int8'.*minilm-4bit"):
        as_recipe("int-8")
    with pytest.raises(ConfigError, match=r"int9\.yaml:1:1: can't be read"):
        as_recipe("int9.yaml")
    Path("int8").write_text("name: mine\nsteps:\n  - fold_batch_norm:\n")
    assert as_recipe("int8").name == "mine"


def test_the_program_takes_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import torch\ndef build():\n    images = [(torch.randn(1, 3, 8, 8),) for _ in range(8)]\n"
    code += "    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3))\n"
    code += "    return {'module': net, 'example_inputs': images[0], 'calibration': images}\n"
    (tmp_path / "model.py").write_text(code)
    words = ["compress", "model.py:build", "--recipe", "int8", "--target", "x86-64-cpu-int8-dynamic"]
    assert cli.main(words, standalone_mode=False) in (0, None)
    assert (tmp_path / "int8.pt2").is_file()
    assert "ConvInteger costs at least as much" in capsys.readouterr().out


def test_claims_that_do_not_hold(source: Callable[..., ModelSource]) -> None:
    fp16, dynamic, static = (registry.get(f"x86-64-cpu-{name}") for name in ("fp16", "int8-dynamic", "int8"))
    net, text = source().module, torch.nn.Linear(30, 30)
    assert (convolutional_part(net) > 0.9, convolutional_part(text)) == (True, 0.0)
    assert [each.partition(":")[0] for each in remarks(net, [fp16, dynamic, static])] == [fp16.name, dynamic.name]
    assert remarks(text, [dynamic, static]) == ()
    assert remarks(net, [registry.get("raspberry-pi-5-fp16"), registry.get("jetson-orin-nano-fp16")]) == ()
    record = seatrial.compress(source(), [FoldBatchNorm()], targets=[dynamic.name]).record
    assert "ConvInteger costs at least as much" in record.remarks[0]
