"""From a float model to one with INT8 activations and weights, in torch: Core ML takes it as it is."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import TYPE_CHECKING

from seatrial_targets.errors import ExportError, UserError

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress


def quantized(source: ModelSource, target: TargetProfile, on_progress: Progress) -> ModelSource:
    """Return the source quantized for an int8 target; as it is for others, and when a recipe has quantized it already.

    The quantizer is that of compression recipes: symmetric int8, on the calibration data, with the target's kind of
    ranges. Raises ExportError without calibration data and UserError without torchao.
    """
    from ...compression.quantized_program import is_quantized

    how = target.quantization
    if how is None or (source.program is not None and is_quantized(source.program)):
        return source
    if source.calibration is None:
        raise ExportError(
            f"target {target.name!r} is int8, which needs calibration data: samples like those that the model will "
            "see, as `calibration` of the model source"
        )
    if importlib.util.find_spec("torchao") is None:
        raise UserError(
            "INT8 for Core ML is made by torchao, which is not installed; run: pip install 'seatrial[compress]'"
        )
    from ...compression.quantization.ptq import QuantizeStep
    from ...compression.quantization.settings import Quantize
    from ...compression.state import CompressionState

    on_progress("quantize")
    settings = Quantize.model_validate(
        {
            "observer": how.calibration,
            "activations": "symmetric",
            "weights": "per_channel" if how.per_channel else "per_tensor",
            "keep_float": (*how.keep_float, *source.keep_float),
            **({"percentile": how.percentile} if how.calibration == "percentile" else {}),
        }
    )
    state = CompressionState.of(source, targets=(target,))
    QuantizeStep(settings).apply(state)
    return dataclasses.replace(state.as_source(), program=None)
