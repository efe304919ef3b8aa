"""Settings of the steps that rewrite a model."""

from __future__ import annotations

from typing import ClassVar

from ..settings import StepSettings


class FoldBatchNorm(StepSettings):
    """Fold each batch norm into the convolution or linear layer before it; the outputs stay the same."""

    kind: ClassVar[str] = "fold_batch_norm"
