"""Models small enough to compress in a second."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch

from seatrial.source import ModelSource

if importlib.util.find_spec("torchao") is None:  # importing it would print
    pytest.skip("needs the extra `compress`", allow_module_level=True)


class Residual(torch.nn.Module):
    """Convolution, batch norm, a residual addition, mean over pixels, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(16)
        self.conv2 = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.norm2 = torch.nn.BatchNorm2d(16)
        self.head = torch.nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.conv1(image)))
        x = torch.relu(self.norm2(self.conv2(x)) + x)
        return self.head(x.mean((2, 3)))


def residual() -> Residual:
    """The net with batch norms that do something."""
    torch.manual_seed(0)
    net = Residual().eval()
    for norm in (net.norm1, net.norm2):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    return net


@pytest.fixture
def source() -> Callable[..., ModelSource]:
    """source(module=..., checks=...): the residual net with 16 images to calibrate on and 8 to check with."""

    def made(**fields: Any) -> ModelSource:
        generator = torch.Generator().manual_seed(1)
        images = [torch.randn(1, 3, 8, 8, generator=generator) for _ in range(24)]
        values: dict[str, Any] = {"calibration": images[:16], "checks": images[16:], "name": "tiny"}
        values = {"module": None, "example_inputs": images[0], **values, **fields}
        return ModelSource(**{**values, "module": values["module"] or residual()})

    return made
