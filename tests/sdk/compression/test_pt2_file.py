"""The file of a compressed model holds the model and its example, and nothing that only lay beside them in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from seatrial.compression.pt2_file import read_program, write_program


class Tied(nn.Module):
    """Two layers with one weight, which is a part of a larger tensor, as the buffer is."""

    def __init__(self, everything: torch.Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)
        self.first.weight.data = everything.view(-1)[:100].view(10, 10)
        self.second.weight = self.first.weight
        self.register_buffer("shift", torch.zeros(10))
        self.shift.data = everything[50]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.second(self.first(x)) + self.shift
        return result


def test_a_slice_is_written_without_the_rest(tmp_path: Path) -> None:
    everything = torch.randn(100_000, 10)
    inputs, module = (torch.randn(100_000, 10)[3:4],), Tied(everything).eval()
    wanted = module(*inputs)
    write_program(torch.export.export(module, inputs), tmp_path / "small.pt2")
    assert (tmp_path / "small.pt2").stat().st_size < 100_000  # it was 12 MB
    program = read_program(tmp_path / "small.pt2")
    assert torch.equal(program.module()(*program.example_inputs[0]), wanted)
    assert len({value.untyped_storage().data_ptr() for value in program.state_dict.values()}) == 2
