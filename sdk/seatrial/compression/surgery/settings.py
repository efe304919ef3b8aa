"""Settings of the steps that rewrite a model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seatrial_targets.spec import Spec

from ..settings import Form, StepSettings

Pattern = Annotated[str, Field(min_length=1, max_length=300)]
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,99}$")]
Activation = Literal["Hardswish", "Hardsigmoid", "Hardtanh", "ReLU", "ReLU6", "LeakyReLU", "GELU", "SiLU", "Sigmoid"]


class FoldBatchNorm(StepSettings):
    """Fold each batch norm into the convolution or linear layer before it; the outputs stay the same."""

    kind: ClassVar[str] = "fold_batch_norm"


class Equalize(StepSettings):
    """Cross-layer equalisation: scale channels between two layers so that both have ranges alike; the outputs stay the
    same. It helps INT8 with one scale per tensor (``weights: per_tensor``), and little where each channel has its own.
    Only ReLU, leaky ReLU and pools may stand between; batch norms are folded first. ``rounds``: at most so often.
    """

    kind: ClassVar[str] = "equalize"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 20


class ReplaceActivation(StepSettings):
    """Replace activation modules by others that runtimes compute faster or quantize better, such as SiLU by Hardswish.

    ``replace``: the name of a class in the model -> an activation of torch.nn. ``layers``: only there. The outputs
    change: train afterwards, with `finetune`, `distil` or `qat`.
    """

    kind: ClassVar[str] = "replace_activation"
    replace: Annotated[dict[ClassName, Activation], Field(min_length=1)]
    layers: tuple[Pattern, ...] = ()


class Rule(Spec):
    """Which modules are replaced, by the name of their class or by path, and what makes the new one.

    ``using`` is `module:function` or `file.py:function`; it is called with the old module and returns the new one.
    """

    type: ClassName | None = None
    layers: tuple[Pattern, ...] = ()
    using: Annotated[str, Field(pattern=r"^.+:\w+$")]

    @model_validator(mode="after")
    def _asks(self) -> Rule:
        if self.type is None and not self.layers:
            raise ValueError("matches nothing: give the name of a class (type), or layers")
        return self


class ReplaceModules(StepSettings):
    """Replace modules by rule: the user's own function makes a new one of each that matches."""

    kind: ClassVar[str] = "replace_modules"
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


class FuseAttention(StepSettings):
    """Write attention that is spelled out (product, scale, mask, softmax, product) as one operator, which Core ML
    (iOS 18 and later) and torch have kernels for. The outputs stay the same. The model is a captured graph afterwards:
    steps that need its modules (`prune`, `finetune`, ...) come before."""

    kind: ClassVar[str] = "fuse_attention"
    takes: ClassVar[tuple[Form, ...]] = ("float", "captured")
    gives: ClassVar[Form] = "captured"
