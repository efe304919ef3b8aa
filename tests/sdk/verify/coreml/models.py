"""Whole models, small: the structures that Core ML meets, each with inputs that torch can judge it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: Any = nn.ReLU
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, stride=stride), conv(outputs, outputs, act=None))
        self.short = conv(inputs, outputs, 1, stride, act=None) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(x) + self.short(x))


def resnet() -> nn.Module:
    stages = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    return nn.Sequential(
        conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


class Excited(nn.Module):
    """MobileNetV3's inverted residual with squeeze and excitation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.depth = (
            conv(width, 4 * width, 1, act=nn.Hardswish),
            conv(4 * width, 4 * width, 5, 1, 4 * width, nn.Hardswish),
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(4 * width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, 4 * width, 1),
            nn.Hardsigmoid(),
        )
        self.project = conv(4 * width, width, 1, act=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depth(self.expand(x))
        return x + self.project(y * self.squeeze(y))


def mobilenet() -> nn.Module:
    body = [conv(3, 16, stride=2, act=nn.Hardswish), Excited(16), Excited(16), conv(16, 64, 1, act=nn.Hardswish)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 32), nn.Hardswish(), nn.Linear(32, 10)]
    return nn.Sequential(*body, *head)


class VisionTransformer(nn.Module):
    """Patches, a class token, positions, attention by scaled_dot_product_attention."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.patch = heads, nn.Conv2d(3, width, 8, 8)
        self.token, self.position = (
            nn.Parameter(torch.randn(1, 1, width)),
            nn.Parameter(torch.randn(1, 17, width) * 0.1),
        )
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.after, self.mlp = (
            nn.LayerNorm(width),
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
        )
        self.head = nn.Linear(width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        q, k, v = (each.reshape(1, 17, self.heads, 8).transpose(1, 2) for each in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 17, 32))
        return self.head((x + self.mlp(self.after(x)))[:, 0])


class UNet(nn.Module):
    """Down, transposed convolution and bilinear up, skips, group and instance norms, reflecting padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU())
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.InstanceNorm2d(16, affine=True), nn.LeakyReLU(0.1))
        self.deep = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.PReLU(16), nn.Conv2d(16, 16, 3, padding=2, dilation=2))
        self.up, self.last = nn.ConvTranspose2d(32, 8, 3, 2, 1, output_padding=1), nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first = self.first(image)
        down = self.down(first)
        deep = F.interpolate(self.deep(down), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(torch.cat([self.up(torch.cat([deep, down], 1)), first], 1)).softmax(1)


class Detector(nn.Module):
    """An SSD-like head on two maps: boxes by the usual decoding, the best of them by topk and gather."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.back, self.deep = conv(3, 16, stride=4), conv(16, 16, stride=2)
        self.heads = nn.ModuleList(nn.Conv2d(16, 2 * (4 + classes), 3, padding=1) for _ in range(2))
        self.register_buffer("anchors", torch.rand(160, 4) * 0.5 + 0.25)
        self.width = 4 + classes

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = [self.back(image)]
        maps.append(self.deep(maps[0]))
        rows = [
            head(x).permute(0, 2, 3, 1).reshape(1, -1, self.width) for head, x in zip(self.heads, maps, strict=True)
        ]
        raw = torch.cat(rows, 1)[0]
        centre = self.anchors[:, :2] + 0.1 * raw[:, :2] * self.anchors[:, 2:]
        size = self.anchors[:, 2:] * torch.exp(0.2 * raw[:, 2:4])
        scores, classes = raw[:, 4:].softmax(-1).max(-1)
        best, index = scores.topk(20)
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
        return {"boxes": boxes[index], "scores": best, "classes": classes[index]}


class Tagger(nn.Module):
    """Embedding, a recurrent layer in both directions, a linear layer for each step."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(50, 16), kind(16, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.words(ids))[0])


class Spectrogram(nn.Module):
    """Audio: a Fourier transform as a convolution, power, logarithm, mel-like filters, a convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(64.0)
        angles = 2 * torch.pi * torch.outer(torch.arange(33.0), n) / 64
        self.register_buffer("basis", torch.cat([angles.cos(), -angles.sin()])[:, None] * torch.hann_window(64))
        self.register_buffer("filters", torch.rand(8, 33))
        self.conv, self.norm = nn.Conv1d(8, 6, 3, padding=1), nn.LayerNorm(6)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        parts = F.conv1d(F.pad(wave, (32, 32), mode="reflect"), self.basis, stride=16)
        power = parts[:, :33] ** 2 + parts[:, 33:] ** 2
        mel = torch.log10(torch.clamp(self.filters @ power, min=1e-3))
        return self.norm(F.gelu(self.conv(mel)).transpose(1, 2)).mean(1)


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)


def image(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side)


MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]] = {
    "resnet": lambda: (resnet(), (image(),)),
    "mobilenetv3": lambda: (mobilenet(), (image(),)),
    "vit": lambda: (VisionTransformer(), (image(),)),
    "unet": lambda: (UNet(), (image(),)),
    "ssd": lambda: (Detector(), (image(),)),
    "lstm": lambda: (Tagger(nn.LSTM), (torch.randint(0, 50, (1, 9)),)),
    "gru": lambda: (Tagger(nn.GRU), (torch.randint(0, 50, (1, 9)),)),
    "encoder": lambda: (encoder(), (torch.randn(1, 7, 32),)),
    "audio": lambda: (Spectrogram(), (torch.randn(1, 1, 512),)),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return a model of that name and its inputs, the same each time, with batch norms that have seen data."""
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_mean.uniform_(-0.2, 0.2)
                each.running_var.uniform_(0.5, 1.5)
    return module.eval(), inputs
