"""Training images for EfficientNet-Lite0 without ImageNet: crops of eight photographs, with the original's answers.

A crop has 15 to 100 % of a photograph's shorter side, is mirrored or not, and mostly has its colours swapped, stretched
and shifted, so that few photographs give many unlike images. None of the photographs is among the model's checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from seatrial.demo import efficientnet_lite0

SIZE = 16  # crops in a batch


def epoch(module: torch.nn.Module, batches: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (images (SIZE, 3, 224, 224), logits of ``module`` (SIZE, 1000)), float32, drawn by torch's random state."""
    photographs = [efficientnet_lite0._photo(name) for name in efficientnet_lite0.CALIBRATION]
    random = np.random.default_rng(int(torch.randint(2**31, ())))
    for _ in range(batches):
        images = torch.from_numpy(np.concatenate([_crop(photographs, random) for _ in range(SIZE)]))
        with torch.no_grad():
            answers = module(images)
        yield images, answers


def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error of the logits, relative to them, and cross-entropy to their most likely class.

    Of the original itself only the second has a gradient, which the importance "taylor" needs.
    """
    error = (outputs - target).square().mean() / target.square().mean()
    return error + 0.1 * torch.nn.functional.cross_entropy(outputs, target.argmax(1))


def _crop(photographs: list[Any], random: np.random.Generator) -> Any:
    photo = photographs[random.integers(len(photographs))]
    height, width = photo.shape[:2]
    side = int(min(height, width) * random.uniform(0.15, 1.0))
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    cut = photo[top : top + side, left : left + side]
    image = efficientnet_lite0._normalised(cut[:, ::-1] if random.random() < 0.5 else cut)
    if random.random() < 0.8:
        image = image[:, random.permutation(3)] * random.uniform(0.5, 1.3, (1, 3, 1, 1))
        image += random.uniform(-0.4, 0.4, (1, 3, 1, 1))
    return np.clip(image, -1, 1).astype(np.float32)
