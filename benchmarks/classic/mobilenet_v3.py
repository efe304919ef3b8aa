"""MobileNetV3-Small (Howard et al., "Searching for MobileNetV3", 2019), with torchvision's block structure."""

from __future__ import annotations

import torch
from torch import nn

# kernel, expanded channels, output channels, squeeze and excite, hard-swish, stride: table 2 of the paper
ROWS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


def convolution(inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its batch norm."""
    layer = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outer, eps=0.001)]


class SqueezeExcite(nn.Module):
    """Weighs channels by what all pixels say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, int(channels / 4 + 4) // 8 * 8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.relu, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x * self.gate(self.fc2(self.relu(self.fc1(self.pool(x)))))


class Block(nn.Module):
    """Expand, filter each channel, weigh, project; with a shortcut where shapes allow."""

    def __init__(self, inner: int, row: tuple[int, int, int, bool, bool, int]) -> None:
        super().__init__()
        kernel, wide, outer, excite, swish, stride = row
        act = nn.Hardswish if swish else nn.ReLU
        layers = [*convolution(inner, wide, 1), act()] if wide != inner else []
        layers += [*convolution(wide, wide, kernel, stride, wide), act()]
        layers += [SqueezeExcite(wide)] if excite else []
        self.block = nn.Sequential(*layers, *convolution(wide, outer, 1))
        self.residual = stride == 1 and inner == outer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inner, H, W) to (N, outer, H / stride, W / stride)."""
        made: torch.Tensor = self.block(x)
        return made + x if self.residual else made


class MobileNetV3(nn.Module):
    """1.5 million parameters with 10 classes; takes (N, 3, H, W), gives logits (N, classes)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        inner = [16, *(row[2] for row in ROWS)]
        self.stem = nn.Sequential(*convolution(3, 16, 3, 2), nn.Hardswish())
        self.blocks = nn.Sequential(*(Block(n, row) for n, row in zip(inner, ROWS, strict=False)))
        self.last = nn.Sequential(*convolution(96, 576, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Sequential(nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1024, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.head(torch.flatten(self.last(self.blocks(self.stem(x))), 1))
