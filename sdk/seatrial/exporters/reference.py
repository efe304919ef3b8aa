"""The torch model as what every exported artifact is held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..source import ModelSource

Arrays = dict[str, "NDArray[Any]"]


class TorchReference:
    """The torch model as a function from input arrays to output arrays, both by name.

    Of a compressed model it is the one that it was made from.
    """

    def __init__(self, source: ModelSource, names: list[str]) -> None:
        self._source, self._names = source.original(), names

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Run in eval mode. Raises ModelError when the module fails or answers NaN."""
        import torch

        value = self._source.call({name: torch.from_numpy(np.array(each)) for name, each in inputs.items()})
        flat = [each for each in torch.utils._pytree.tree_leaves(value) if isinstance(each, torch.Tensor)]
        outputs = {name: each.detach().numpy() for name, each in zip(self._names, flat, strict=True)}
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ModelError(
                    f"the torch model's output {name!r} holds NaN or infinity; nothing can be compared with it"
                )
        return outputs
