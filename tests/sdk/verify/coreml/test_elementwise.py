"""Elementwise operations against torch, over generated shapes, in float32 and float16."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from .programs import check, evaluated, mb

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)
FEW = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])

# What each operation is in torch, for inputs of (-2, 2).
UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs, "atan": torch.atan, "ceil": torch.ceil, "cos": torch.cos, "cosh": torch.cosh, "erf": torch.erf,
    "exp": torch.exp, "exp2": torch.exp2, "floor": torch.floor, "round": torch.round, "sign": torch.sign,
    "sin": torch.sin, "sinh": torch.sinh, "square": torch.square, "tan": torch.tan, "tanh": torch.tanh,
    "relu": torch.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "silu": F.silu, "softplus": F.softplus,
    "softsign": F.softsign, "identity": lambda x: x, "gelu": F.gelu,
}  # fmt: skip
INSIDE = {"acos": torch.acos, "asin": torch.asin, "atanh": torch.atanh}  # inputs of (-1, 1)
POSITIVE = {"sqrt": torch.sqrt, "log": torch.log, "rsqrt": torch.rsqrt, "inverse": torch.reciprocal}
BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "floor_div": torch.floor_divide, "mod": torch.remainder,
}  # fmt: skip
COMPARISONS = {
    "equal": torch.eq, "not_equal": torch.ne, "greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt,
    "less_equal": torch.le,
}  # fmt: skip
LOGICAL = {"logical_and": torch.logical_and, "logical_or": torch.logical_or, "logical_xor": torch.logical_xor}


def uniform(shape: tuple[int, ...], low: float, high: float, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


@FEW
@given(SHAPES)
def test_unary(shape: tuple[int, ...]) -> None:
    x = uniform(shape, -2, 2)
    check(evaluated(lambda x: [getattr(mb, name)(x=x) for name in UNARY], {"x": x}), [f(x) for f in UNARY.values()])
    x = uniform(shape, -0.9, 0.9)
    check(evaluated(lambda x: [getattr(mb, name)(x=x) for name in INSIDE], {"x": x}), [f(x) for f in INSIDE.values()])


@FEW
@given(SHAPES)
def test_with_an_epsilon(shape: tuple[int, ...]) -> None:
    x = uniform(shape, 0.5, 2)

    def build(x):
        zero = {"log": 1e-45, "rsqrt": 1e-12, "inverse": 0.0}
        plain = [getattr(mb, n)(x=x, **({"epsilon": zero[n]} if n in zero else {})) for n in POSITIVE]
        return [
            *plain,
            mb.log(x=x, epsilon=1.0),
            mb.rsqrt(x=x, epsilon=3.0),
            mb.inverse(x=x, epsilon=3.0),
            mb.inverse(x=x),
        ]

    wanted = [*(f(x) for f in POSITIVE.values()), torch.log(x + 1), torch.rsqrt(x + 3), 1 / (x + 3), 1 / (x + 1e-4)]
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(SHAPES)
def test_in_float16_each_result_is_torch_rounded_once(shape: tuple[int, ...]) -> None:
    x = uniform(shape, -2, 2).half()
    found = evaluated(lambda x: [getattr(mb, name)(x=x) for name in UNARY], {"x": x})
    assert all(each.dtype == torch.float16 for each in found)
    assert all(torch.equal(each, f(x.float()).half()) for each, f in zip(found, UNARY.values(), strict=True))


@FEW
@given(SHAPES, st.data())
def test_binary_with_broadcasting(shape: tuple[int, ...], data: st.DataObject) -> None:
    other = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    x, y = uniform(shape, -3, 3), uniform(other, 0.5, 3, 1)
    names = [*BINARY, *COMPARISONS]
    wanted = [f(x, y) for f in (*BINARY.values(), *COMPARISONS.values())]

    def build(x, y):
        compared = [mb.cast(x=getattr(mb, name)(x=x, y=y), dtype="fp32") for name in COMPARISONS]
        return [getattr(mb, name)(x=x, y=y) for name in BINARY] + compared

    found = evaluated(build, {"x": x, "y": y})
    assert len(found) == len(names)
    check(found, [each.float() for each in wanted])
    check(evaluated(lambda x, y: mb.pow(x=mb.abs(x=x), y=y), {"x": x, "y": y}), [x.abs() ** y], rtol=1e-4)


@FEW
@given(SHAPES)
def test_integers_and_truth_values(shape: tuple[int, ...]) -> None:
    x, y = uniform(shape, -9, 9).int(), uniform(shape, 1, 9, 1).int()
    whole = {name: BINARY[name] for name in ("add", "sub", "mul", "maximum", "minimum", "floor_div", "mod")}
    found = evaluated(lambda x, y: [getattr(mb, n)(x=x, y=y) for n in whole], {"x": x, "y": y})
    assert all(torch.equal(each, f(x, y)) for each, f in zip(found, whole.values(), strict=True))
    a, b = x > 0, y > 4

    def build(a, b):
        made = [getattr(mb, n)(x=a, y=b) for n in LOGICAL] + [mb.logical_not(x=a)]
        return [mb.cast(x=each, dtype="int32") for each in made]

    wanted = [f(a, b).int() for f in LOGICAL.values()] + [(~a).int()]
    assert all(map(torch.equal, evaluated(build, {"a": a, "b": b}), wanted))


@FEW
@given(st.lists(st.integers(1, 4), min_size=3, max_size=4).map(tuple))
def test_with_parameters(shape: tuple[int, ...]) -> None:
    x = uniform(shape, -3, 3)
    alpha, beta = uniform(shape[1:2], 0.1, 1).numpy(), uniform(shape[1:2], 0.5, 1, 1).numpy()
    spread = [1, -1] + [1] * (len(shape) - 2)
    a, b = torch.from_numpy(alpha).reshape(spread), torch.from_numpy(beta).reshape(spread)

    def build(x):
        made = [
            mb.clip(x=x, alpha=-1.0, beta=0.5), mb.threshold(x=x, alpha=0.25), mb.elu(x=x, alpha=0.7),
            mb.leaky_relu(x=x, alpha=0.1), mb.thresholded_relu(x=x, alpha=0.5),
            mb.clamped_relu(x=x, alpha=0.1, beta=1.0),
            mb.linear_activation(x=x, alpha=2.0, beta=1.0), mb.scaled_tanh(x=x, alpha=0.5, beta=2.0),
            mb.sigmoid_hard(x=x, alpha=0.2, beta=0.5), mb.softmax(x=x, axis=-2), mb.softmax(x=x, axis=0),
            mb.gelu(x=x, mode="TANH_APPROXIMATION"), mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
            mb.softplus_parametric(x=x, alpha=alpha, beta=beta),
        ]  # fmt: skip
        return [*made, mb.prelu(x=x, alpha=alpha)] if len(shape) == 4 else made

    leaky = torch.where(x >= 0, x, 0.1 * x)
    wanted = [
        x.clamp(-1, 0.5), x.clamp_min(0.25), F.elu(x, 0.7), leaky, torch.where(x >= 0.5, x, torch.zeros(())),
        leaky.clamp_max(1), 2 * x + 1, 0.5 * torch.tanh(2 * x), (0.2 * x + 0.5).clamp(0, 1), x.softmax(-2),
        x.softmax(0),
        F.gelu(x, approximate="tanh"), x * torch.sigmoid(1.702 * x), a * torch.log(1 + torch.exp(b * x)),
    ]  # fmt: skip
    if len(shape) == 4:
        wanted.append(F.prelu(x, torch.from_numpy(alpha)))
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(SHAPES)
def test_casts(shape: tuple[int, ...]) -> None:
    x = uniform(shape, -3, 3)
    kinds = {"fp16": torch.float16, "int32": torch.int32, "int8": torch.int8, "int16": torch.int16}
    found = evaluated(lambda x: [mb.cast(x=mb.cast(x=x, dtype=k), dtype="fp32") for k in (*kinds, "bool")], {"x": x})
    check(found, [*(x.to(kind).float() for kind in kinds.values()), (x != 0).float()])
    check(
        evaluated(lambda x: mb.cast(x=mb.cast(x=x, dtype="uint8"), dtype="int32"), {"x": x.abs() * 50}),
        [(x.abs() * 50).int()],
    )
