"""A model in numbers: bytes, parameters, multiply-accumulates, and how near it is to the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .record import Figures, Latency

if TYPE_CHECKING:
    import torch

    from ..exporters.parity import Arrays
    from .state import CompressionState, Tensors

NO_DATA = "sqnr_db was measured on the example inputs alone: the source has no `checks`"


class Reference:
    """The original's answers, computed once: on ``checks``, or on the example inputs where there are none."""

    def __init__(self, state: CompressionState) -> None:
        self.has_checks = state.source.checks is not None
        examples = {name: value.detach() for name, value in state.source.inputs.items()}
        self.samples: list[Tensors] = state.samples("checks") or [examples]
        original = state.source.reference or state.source.module
        self._answers = [outputs(original, sample, state.source.positional) for sample in self.samples]

    def quality(self, module: torch.nn.Module, positional: bool) -> dict[str, float]:
        """Return sqnr_db, max_abs, top1_agreement and samples of ``module`` against the original.

        Raises ModelError when the module answers with NaN, infinity or another shape.
        """
        from seatrial_targets.errors import ExportError, ModelError

        from ..exporters.parity import measure_parity

        answers = iter(self._answers)
        samples: Sequence[Any] = self.samples
        try:
            return measure_parity(lambda _: next(answers), lambda each: outputs(module, each, positional), samples)
        except ExportError as error:
            raise ModelError(f"the compressed model: {str(error).partition(';')[0]}") from error


def outputs(module: torch.nn.Module, inputs: Tensors, positional: bool) -> Arrays:
    """Run a module without gradients, in eval mode, and return its outputs as arrays, named by their place."""
    import torch

    from ..source import evaluating

    with torch.no_grad(), evaluating(module):
        value = module(*inputs.values()) if positional else module(**inputs)
    flat = [each for each in torch.utils._pytree.tree_leaves(value) if isinstance(each, torch.Tensor)]
    return {f"output_{i}": np.asarray(each.detach().float().cpu().numpy()) for i, each in enumerate(flat)}


def measure(state: CompressionState, reference: Reference, latency: tuple[Latency, ...] = ()) -> Figures:
    """Return the figures of the model as it is now. Raises ModelError when it can't be run or evaluated."""
    return Figures(
        size_bytes=size_bytes(state.module),
        parameters=sum(each.numel() for each in weights(state.module)),
        zeros=sum(int((each == 0).sum()) for each in weights(state.module)),
        macs=count_macs(state.module, dict(state.source.inputs), state.source.positional),
        quality=reference.quality(state.module, state.source.positional),
        metrics=_metrics(state),
        latency=latency,
    )


def size_bytes(module: torch.nn.Module) -> int:
    """Return the bytes of all parameters and buffers that the module would save; shared storage counts once."""
    kept = {each.untyped_storage().data_ptr(): each for each in module.state_dict().values() if each.numel()}
    return sum(each.numel() * each.element_size() for each in kept.values())


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    """Return the tensors that count as parameters: parameters, and integer buffers that were made of them."""
    import torch

    integer = (torch.int8, torch.uint8)
    stored = [each for each in module.buffers() if each.dtype in integer]
    return [each.detach() for each in module.parameters()] + stored


def count_macs(module: torch.nn.Module, inputs: Tensors, positional: bool) -> int:
    """Return the multiply-accumulates of convolutions, products and attention in one call with ``inputs``."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..source import evaluating

    with torch.no_grad(), evaluating(module), FlopCounterMode(display=False) as counter:
        module(*inputs.values()) if positional else module(**inputs)
    return int(counter.get_total_flops()) // 2


def _metrics(state: CompressionState) -> dict[str, float]:
    from ..exporters.accuracy import evaluate_torch

    return evaluate_torch(state.as_source())
