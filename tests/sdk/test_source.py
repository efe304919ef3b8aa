"""Loading model sources: the three forms, and errors that point into the user's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seatrial.source import ModelSource, load_source
from seatrial_targets.errors import ModelError

ModelFile = Callable[[str], Path]


@pytest.mark.parametrize(
    "returned",
    [
        "nn.Linear(4, 3), (X,)",
        "{'module': nn.Linear(4, 3), 'example_inputs': X}",
        "{'module': nn.Linear(4, 3), 'example_inputs': {'input': X}}",
        "__import__('seatrial').ModelSource(nn.Linear(4, 3), (X,))",
    ],
)
def test_every_form_a_factory_may_return(model_file: ModelFile, returned: str) -> None:
    source = load_source(f"{model_file(f'def build(): return {returned}')}:build")
    assert list(source.inputs) == ["input"]
    assert tuple(source.inputs["input"].shape) == (2, 4)


def test_a_module_on_the_path(model_file: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_file("def build(): return nn.Linear(4, 3), X").parent)
    assert load_source("user_model:build").name == "user_model"


@pytest.mark.parametrize(
    ("code", "factory", "message"),
    [
        ("def build(): ...", "bild", "did you mean 'build'"),
        ("build = 3", "build", "is int, not a function"),
        ("def build(): return 3", "build", "returned an int; return"),
        ("def build(): return None", "build", "returned None"),
        ("def build(): return nn.Linear, X", "build", "the class Linear, not a torch.nn.Module; call it"),
        ("def build(): return nn.Linear(4, 3), [[1.0]]", "build", "'input' is a list, not a tensor"),
        ("def build(): return nn.Linear(4, 3), (X, X)", "build", "2 example inputs for a forward that takes 1"),
        ("def build(): return nn.Linear(4, 3), ()", "build", "example_inputs is empty"),
        ("def build(): return nn.Linear(4, 3), {'imput': X}", "build", "did you mean 'input'"),
        ("def build(): return nn.Linear(4, 3), X / 0", "build", "NaN or infinity"),
        (
            "def build(): return {'module': nn.Linear(4, 3), 'example_input': X}",
            "build",
            "did you mean 'example_inputs'",
        ),
        ("def build(): return {'module': nn.Linear(4, 3)}", "build", "lacks 'example_inputs'"),
    ],
)
def test_what_a_factory_may_get_wrong(model_file: ModelFile, code: str, factory: str, message: str) -> None:
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        load_source(f"{model_file(code)}:{factory}")


def test_a_factory_that_raises_shows_its_own_line_and_none_of_ours(model_file: ModelFile) -> None:
    path = model_file("def build():\n    return inner()\n\ndef inner():\n    raise OSError('no weights here')\n")
    with pytest.raises(ModelError) as caught:
        load_source(f"{path}:build")
    text = str(caught.value)
    assert "the factory raised OSError: no weights here" in text
    assert f'File "{path}", line 10, in inner' in text
    assert "seatrial/factory.py" not in text


def test_a_file_that_can_not_be_imported(model_file: ModelFile) -> None:
    path = model_file("def build(:")
    with pytest.raises(ModelError, match=r"SyntaxError.*user_model\.py:6"):
        load_source(f"{path}:build")


def test_missing_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").touch()
    with pytest.raises(ModelError, match=r"modle\.py: no such file; did you mean 'model\.py'"):
        load_source("modle.py:build")
    with pytest.raises(ModelError, match="no module named 'no_such_module_here'"):
        load_source("no_such_module_here:build")
    with pytest.raises(ModelError, match="names no factory; write module:factory"):
        load_source("model")


def test_inputs_are_named_by_forward_and_the_mode_is_left_alone() -> None:
    class Two(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return left - right

    module = Two().train()
    source = ModelSource(module, (torch.ones(3), torch.zeros(3)))
    assert list(source.inputs) == ["left", "right"]
    assert source.call(source.inputs).tolist() == [1, 1, 1]
    assert module.training


def test_the_digest_knows_weights_and_architecture() -> None:
    def source(value: float, activation: torch.nn.Module) -> ModelSource:
        layer = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(layer.weight, value)
        torch.nn.init.zeros_(layer.bias)
        return ModelSource(torch.nn.Sequential(layer, activation), torch.ones(1, 2))

    relu = source(1.0, torch.nn.ReLU()).digest
    assert source(1.0, torch.nn.ReLU()).digest == relu
    assert source(1.5, torch.nn.ReLU()).digest != relu
    assert source(1.0, torch.nn.Sigmoid()).digest != relu
