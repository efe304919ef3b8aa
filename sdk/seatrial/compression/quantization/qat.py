"""The step `qat`: fold, capture, put fake quantizers in, train, convert. Scales arrive in every runtime as learned."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from torch import nn

from seatrial_targets.errors import UserError

from ..capture import Captured, capture_batched
from ..claims import half_remarks
from ..distillation.distil import make_objective
from ..state import CompressionState, set_training
from ..step import Outcome, Step
from ..surgery.batch_norm import foldable, replay
from ..training.finetune import described, train
from ..training.objective import Objective, SupervisedObjective
from ..training.state import Position
from .calibrating import Calibration
from .cleaning import cleaned
from .half import compute_in_half
from .pt2e import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    converted,
    prepared_for_training,
)
from .ptq import half_layers, is_asymmetric, kept_layers, refused, require_layers, specs
from .qat_settings import Qat
from .quantizer import LayerQuantizer

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

EPS = 2**-16  # torchao's default of 2**-12 is larger than the scales of many layers
AT_ONCE = 1.0  # averaging constant of weights: their range is that of this very step
FIRST_SAMPLES = 64  # calibration samples from which activations get their first ranges


class QatStep(Step[Qat]):
    """Carries `Qat` out."""

    def check(self, state: CompressionState) -> None:
        """Find the layers that stay in floating point."""
        kept_layers(self.settings, state)

    def refused_by(self, target: TargetProfile) -> str:
        """Say which targets take quantizers, and uint8 activations."""
        return refused(self.settings, target)

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by a trained and quantized graph. Ctrl-C leaves a checkpoint in ``state.folder``."""
        captured, asymmetric = self._captured(state), is_asymmetric(self.settings, state)
        kept, half = kept_layers(self.settings, state), half_layers(self.settings, state)
        quantizer = LayerQuantizer(self._specs(asymmetric), kept, outputs=asymmetric)
        model = prepared_for_training(captured.program.module(), quantizer)
        require_layers(quantizer)
        _check_batches(captured)
        self._first_ranges(model, captured, state)
        report = train(state, self.settings, self._objective(state, model), module=model, after_step=[self._freeze])
        state.module = cleaned(converted(model))
        compute_in_half(state.module, half)
        state.form, state.learned_scales = "quantized", True
        set_training(state.module, False)
        teacher = (f"teacher: {self.settings.teacher}",) if self.settings.distil else ()
        return described(
            report, f"{len(quantizer.layers)} layers as INT8", *teacher, *half_remarks(half, state.targets)
        )

    def _captured(self, state: CompressionState) -> Captured:
        """The model with its batch norms folded, captured for batches of any size."""
        source = dataclasses.replace(state.as_source(), module=copy.deepcopy(state.module))
        edit = {"pairs": [list(pair) for pair in foldable(source)]}
        replay(source.module, edit, source.inputs)
        return capture_batched(source)

    def _specs(self, asymmetric: bool) -> Any:
        activation = FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, reduce_range=False, eps=EPS)
        channels = self.settings.weights == "per_channel"
        observer = MovingAveragePerChannelMinMaxObserver if channels else MovingAverageMinMaxObserver
        weight = FakeQuantize.with_args(observer=observer, reduce_range=False, eps=EPS, averaging_constant=AT_ONCE)
        return specs(self.settings, asymmetric, activation, weight)

    def _first_ranges(self, model: nn.Module, captured: Captured, state: CompressionState) -> None:
        """Let activations have ranges before the first gradient; without calibration data the first batch sets them."""
        if state.source.calibration is None:
            return
        set_training(model, False)
        Calibration(state, captured, FIRST_SAMPLES).run(model)

    def _objective(self, state: CompressionState, model: nn.Module) -> Objective:
        if self.settings.distil is None:
            return SupervisedObjective(state.source.loss)
        return make_objective(state, model, self.settings.distil, self.settings.teacher)

    def _freeze(self, model: nn.Module, position: Position) -> None:
        if position.fraction >= self.settings.freeze_ranges:
            for each in model.modules():
                if isinstance(each, FakeQuantize) and not _is_of_weight(each):
                    each.disable_observer()


def _is_of_weight(fake: Any) -> bool:
    return getattr(fake.activation_post_process, "averaging_constant", None) == AT_ONCE


def _check_batches(captured: Captured) -> None:
    if not captured.batched:
        raise UserError(
            "the model can't be captured with a batch axis that varies, which training needs; make forward independent "
            "of the batch's size"
        )
