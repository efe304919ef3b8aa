"""The model of gate_end_to_end.py: small, so that a run is short, and exported as any other."""

from __future__ import annotations

import torch
from torch import nn


def build() -> dict[str, object]:
    """Return three convolutions and a classifier for 96 x 96 pixels."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    return {"module": net, "example_inputs": (torch.randn(1, 3, 96, 96),)}
