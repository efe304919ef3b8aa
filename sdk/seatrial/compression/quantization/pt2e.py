"""torchao's PT2E flow, without what it says on the side; everything that is torchao's is imported from here."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...exporters.noise import quiet

# torchao announces on import that its CUDA libraries do not load, and torch that torchao registers an enum.
_LOGGERS = ("torchao", "torch.utils._pytree")


@contextmanager
def silenced() -> Iterator[None]:
    """Context: `quiet`, and those loggers."""
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in _LOGGERS}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with quiet():
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)


with silenced():
    from torchao.quantization.pt2e import (
        FakeQuantize,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
        PlaceholderObserver,
        allow_exported_model_train_eval,
    )
    from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
        SharedQuantizationSpec,
    )

__all__ = [
    "FakeQuantize",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
    "PlaceholderObserver",
    "QuantizationAnnotation",
    "QuantizationSpec",
    "Quantizer",
    "SharedQuantizationSpec",
    "UniformQuantizationObserverBase",
    "allow_exported_model_train_eval",
    "converted",
    "copied",
    "prepared",
    "prepared_for_training",
    "silenced",
]


def copied(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Return a copy of a captured graph and its weights."""
    with silenced():
        return copy.deepcopy(module)


def prepared(module: torch.fx.GraphModule, quantizer: Any) -> torch.fx.GraphModule:
    """Return the captured module with observers where ``quantizer`` wants them, batch norms folded."""
    with silenced():
        made: torch.fx.GraphModule = prepare_pt2e(module, quantizer)
    return made


def prepared_for_training(module: torch.fx.GraphModule, quantizer: Any) -> torch.fx.GraphModule:
    """Return the captured module with fake quantizers; its `train()` and `eval()` work."""
    with silenced():
        made: torch.fx.GraphModule = prepare_qat_pt2e(module, quantizer)
        return allow_exported_model_train_eval(made)


def converted(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Return a prepared module with quantize and dequantize operators for its observers, weights as integers."""
    with silenced():
        made: torch.fx.GraphModule = convert_pt2e(module)
    return made
