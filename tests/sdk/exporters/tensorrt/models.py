"""Small nets with what TensorRT's exporter must get right, and the targets to export them for."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from seatrial.source import ModelSource
from seatrial_targets import registry
from seatrial_targets.profile import TargetProfile


class Residual(nn.Module):
    """Stem, max pool, a residual block, one that ends in two convolutions, a head: a small ResNet."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.pool = _conv(3, 8, 3), nn.MaxPool2d(2)
        self.one, self.two, self.down = _conv(8, 8, 3), _conv(8, 16, 3, 2), _conv(8, 16, 1, 2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.stem(x)))
        x = torch.relu(self.one(x) + x)
        x = torch.relu(self.two(x) + self.down(x))
        return self.head(x.mean((2, 3)))


class Joined(nn.Module):
    """Two branches of very different ranges, joined by a Concat, then a convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([torch.relu(self.left(x)), 10 * torch.relu(self.right(x))], 1))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
    norm = nn.BatchNorm2d(outputs)
    norm.running_var.uniform_(0.5, 1.5)
    norm.running_mean.normal_(0, 0.1)
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), norm)


def source(module: nn.Module, shape: tuple[int, ...] = (1, 3, 16, 16), **fields: Any) -> ModelSource:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(shape, generator=generator) for _ in range(12)]
    values: dict[str, Any] = {"calibration": images[:8], "checks": images[8:], "name": "tiny"}
    return ModelSource(module, **{"example_inputs": images[0], **values, **fields})


def target(base: str = "jetson-orin-nano-int8", **changes: Any) -> TargetProfile:
    """A built-in target with some fields changed: `target(quantization={"rest": "fp32"})`."""
    data = registry.get(base).model_dump(mode="json", by_alias=True)
    for key, value in changes.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) and isinstance(data.get(key), dict) else value
    return TargetProfile.model_validate(data)


def constant(model: onnx.ModelProto, name: str) -> Any:
    return next(numpy_helper.to_array(each) for each in model.graph.initializer if each.name == name)
