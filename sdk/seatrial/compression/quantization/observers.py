"""Observers: they stand in the prepared model, watch the values that pass, and choose a scale and a zero point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .pt2e import UniformQuantizationObserverBase
from .ranges import chosen_range

BINS = 8192  # over -reach..reach; a range that uses an eighth of that still has more bins than levels
SMALLEST_REACH = 2.0**-40
EPS = 2.0**-24


class RangeObserver(UniformQuantizationObserverBase):
    """Watches an activation; scale and zero point for the whole tensor.

    ``observer``: as in `Quantize`. Values are counted in bins over -reach..reach, where reach is a power of two that
    doubles when it must: pairs of bins then merge, so that no count is ever guessed, and memory does not grow.
    """

    def __init__(self, observer: str = "minmax", percentile: float = 99.99, eps: float = EPS, **spec: Any) -> None:
        super().__init__(eps=eps, **spec)
        self.observer, self.percentile = observer, percentile
        self.counts = np.zeros(0 if observer == "minmax" else BINS, np.int64)
        self.reach = 0.0
        self.register_buffer("min_val", torch.tensor(float("inf")))
        self.register_buffer("max_val", torch.tensor(float("-inf")))
        self.finite = True

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Count the values of a tensor and pass it on."""
        if value.numel():
            seen = value.detach().float()
            low, high = torch.aminmax(seen)
            if not (torch.isfinite(low) and torch.isfinite(high)):
                self.finite = False
                return value
            self.min_val.copy_(torch.minimum(self.min_val, low))
            self.max_val.copy_(torch.maximum(self.max_val, high))
            if len(self.counts):
                self._count(seen, max(-float(low), float(high)))
        return value

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and zero point, for what was seen until now."""
        low, high = self.range()
        result: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(torch.tensor(low), torch.tensor(high))
        return result

    def range(self) -> tuple[float, float]:
        """Return the chosen (low, high); (0, 0) when nothing was seen."""
        low, high = float(self.min_val), float(self.max_val)
        if low > high:
            return 0.0, 0.0
        if not len(self.counts) or low == high:
            return low, high
        counts, extremes = self._trimmed(low, high)
        symmetric = self.qscheme == torch.per_tensor_symmetric
        chosen = chosen_range(
            self.observer, counts, extremes, percentile=self.percentile, levels=self.quant_max - self.quant_min,
            symmetric=symmetric,
        )  # fmt: skip
        return max(chosen[0], min(low, 0.0)), min(chosen[1], max(high, 0.0))  # a bin may reach beyond its values

    def _count(self, seen: torch.Tensor, largest: float) -> None:
        if largest > self.reach or self.reach == 0:
            self._grow(max(largest, SMALLEST_REACH))
        self.counts += torch.histc(seen, BINS, -self.reach, self.reach).numpy().astype(np.int64)

    def _grow(self, largest: float) -> None:
        new = 2.0 ** np.ceil(np.log2(largest))
        while 0 < self.reach < new:
            half = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(half, BINS // 4)
            self.reach *= 2
        self.reach = float(new)

    def _trimmed(self, low: float, high: float) -> tuple[Any, tuple[float, float]]:
        """The counts between the smallest and the largest value, and the edges of those bins."""
        width = 2 * self.reach / BINS
        first = max(0, int((low + self.reach) / width))
        last = min(BINS - 1, int((high + self.reach) / width))
        return self.counts[first : last + 1], (first * width - self.reach, (last + 1) * width - self.reach)


class WeightObserver(UniformQuantizationObserverBase):
    """Watches a weight; one symmetric scale for all of it.

    ``observer``: "minmax", or "mse": the part of the range with the least squared error.
    """

    def __init__(self, observer: str = "minmax", eps: float = EPS, **spec: Any) -> None:
        super().__init__(eps=eps, **spec)
        self.observer = observer
        self.register_buffer("largest", torch.zeros(0))
        self.finite = True

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Look at the weight and pass it on."""
        rows = self.rows(value.detach().float())
        self.finite = self.finite and bool(torch.isfinite(rows).all())
        largest = rows.abs().amax(dim=1)
        self.largest = largest if self.observer == "minmax" else self._best(rows, largest)
        return value

    def rows(self, value: torch.Tensor) -> torch.Tensor:
        """Return the weight with a row for each scale."""
        return value.reshape(1, -1)

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scales and zero points."""
        result: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(-self.largest, self.largest)
        return result

    def _best(self, rows: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
        best, least = largest.clone(), torch.full_like(largest, float("inf"))
        for part in np.linspace(1.0, 0.5, 51):
            reach = (largest * part).clamp(min=1e-30)[:, None]
            step = reach / self.quant_max
            error = ((rows / step).round().clamp(self.quant_min, self.quant_max) * step - rows).square().sum(dim=1)
            better = error < least
            best, least = torch.where(better, reach[:, 0], best), torch.where(better, error, least)
        return best


class PerChannelWeightObserver(WeightObserver):
    """The same with one scale for each channel along ``ch_axis``. torchao tells such observers by their name."""

    def __init__(self, ch_axis: int = 0, **extra: Any) -> None:
        super().__init__(**extra)
        self.ch_axis = ch_axis

    def rows(self, value: torch.Tensor) -> torch.Tensor:
        """Return the weight with a row for each channel."""
        return value.transpose(0, self.ch_axis).reshape(value.shape[self.ch_axis], -1)
