"""Recipes from YAML and from Python: the same thing, and errors that say where."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seatrial.compression.recipe import Recipe, as_recipe
from seatrial.compression.surgery.settings import FoldBatchNorm
from seatrial.compression.table import STEPS, settings_class
from seatrial_targets.errors import ConfigError, UserError


def test_a_file_and_python_make_the_same_recipe() -> None:
    read = Recipe.loads("steps:\n  - fold_batch_norm:\n  - fold_batch_norm: {}\n")
    made = as_recipe([FoldBatchNorm(), FoldBatchNorm()])
    assert read == made
    assert read.digest == made.digest


def test_the_digest_is_of_what_makes_a_difference() -> None:
    plain = Recipe(steps=(FoldBatchNorm(),))
    assert plain.digest == Recipe(steps=(FoldBatchNorm(),), name="other", keep_original=False).digest
    assert plain.digest != Recipe(steps=(FoldBatchNorm(),), seed=1).digest
    assert plain.digest != Recipe(steps=(FoldBatchNorm(), FoldBatchNorm())).digest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("steps: []", "r:1:1: steps: holds 0 steps"),
        ("stps: []", "r:1:1: stps: unknown key; did you mean 'steps'?"),
        ("steps:\n  - fold_batchnorm: {}", "r:2:5: steps[0].fold_batchnorm: unknown key; did you mean 'fold_batch_"),
        ("steps:\n  - fold_batch_norm", "r:2:5: steps[0]: must be a mapping, not 'fold_batch_norm'"),
        ("steps:\n  - fold_batch_norm: {a: 1}", "r:2:23: steps[0].fold_batch_norm.a: unknown key"),
        ("steps:\n  - {}", "steps[0]: each entry of the list holds one step; here are 0"),
        ("seed: -1\nsteps:\n  - fold_batch_norm:", "r:1:7: seed: "),
        ("targets: [../up]\nsteps:\n  - fold_batch_norm:", "r:1:11: targets[0]: '../up' is not a name"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe.loads(text, "r")
    assert problem in str(caught.value)


def test_no_steps_in_python_is_an_error() -> None:
    with pytest.raises(UserError, match="this is no recipe"):
        as_recipe([])


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_of_the_table_is_there_under_its_name(kind: str) -> None:
    found = settings_class(kind)
    assert found.kind == kind
    assert found.__doc__


def test_reading_a_recipe_loads_no_torch() -> None:
    code = "import sys; from seatrial.compression.recipe import file_model; file_model(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
