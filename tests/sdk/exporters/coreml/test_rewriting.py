"""Operators that coremltools lacks, written with others: torch's own answer decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from seatrial.exporters import export
from seatrial.exporters.coreml.rewriting import Rewritten
from seatrial.exporters.coreml.unsupported import explained
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import TargetProfile

X = torch.linspace(-2.3, 2.2, 30).reshape(2, 3, 5)


class Many(torch.nn.Module):
    """Each of the operators once, on its own output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.slopes = torch.nn.LSTMCell(5, 4), torch.nn.Parameter(torch.tensor([0.1, 0.5, 0.9]))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a, b = x > 0, x < 1
        variance, mean = torch.var_mean(x, (1, 2))
        return {
            "cell": self.cell(x[:, 0], (x[:, 1, :4], x[:, 2, :4]))[0],
            "prelu": F.prelu(x, self.slopes),
            "and": (a & b).float(),
            "or": (a | b).float(),
            "xor": (a ^ b).float(),
            "trunc": torch.trunc(x),
            "fmod": torch.fmod(x, 0.7),
            "erfc": torch.erfc(x),
            "hypot": torch.hypot(x, x + 1),
            "variance": variance,
            "mean": mean,
            "ones": x * x.new_ones(5),
            "roll": x.roll(1, -1),
            "mish": F.mish(x),
        }


def test_what_is_rewritten_means_the_same(tmp_path: Path, apple: Callable[..., TargetProfile]) -> None:
    manifest = Bundle.open(export(ModelSource(Many(), X), apple("fp32"), tmp_path)).manifest
    assert manifest.parity["sqnr_db"] > 100
    assert "converted by the export route" in manifest.notes
    (note,) = [each for each in manifest.notes if each.startswith("written with other operators for coremltools")]
    assert {"lstm_cell", "prelu", "new_ones", "trunc", "fmod.Scalar"} <= set(note.split(": ")[1].split(", "))


class Integers(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x | 1


def test_bits_of_integers_are_refused(tmp_path: Path, apple: Callable[..., TargetProfile]) -> None:
    with pytest.raises(ExportError, match="operator 'bitwise_or' can't be converted to Core ML"):
        export(ModelSource(Integers(), torch.ones(2, dtype=torch.int32)), apple(), tmp_path)


class Inverted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(x)


def test_what_coremltools_says_in_other_words_is_named_with_its_place_and_a_way_out() -> None:
    program = torch.export.export(Inverted(), (torch.eye(2),))
    error = NotImplementedError("For non-const input, the lowering for Torch `linalg_inv` op is not supported")
    said = explained(error, error, Rewritten(program, program, ()))
    assert re.search(r"test_rewriting\.py:\d+ in forward: operator 'linalg_inv(_ex)?' can't be converted", said)
    assert "use a solution in closed form" in said
