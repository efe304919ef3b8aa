"""Convolutions, poolings, normalizations, reductions and products against torch, over generated shapes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from .programs import check, evaluated, mb
from .test_elementwise import uniform

FEW = settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@st.composite
def windows(draw: st.DrawFn) -> dict[str, list[int]]:
    """Sizes, kernel, strides, dilations and paddings of 1 to 3 spatial dimensions, such that the kernel fits."""
    rank = draw(st.integers(1, 3))

    def some(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    return {"sizes": some(5, 7), "kernel": some(1, 3), "strides": some(1, 3), "dilations": some(1, 2),
            "before": some(0, 1), "after": some(0, 2)}  # fmt: skip


def pads(w: dict[str, list[int]]) -> list[int]:
    return [n for pair in zip(w["before"], w["after"], strict=True) for n in pair]


def torch_pads(w: dict[str, list[int]]) -> list[int]:
    return [n for pair in reversed(list(zip(w["before"], w["after"], strict=True))) for n in pair]


@FEW
@given(windows(), st.sampled_from([1, 2]))
def test_conv(w: dict[str, list[int]], groups: int) -> None:
    rank = len(w["sizes"])
    x, weight, bias = (
        uniform((2, 4, *w["sizes"]), -1, 1),
        uniform((6, 4 // groups, *w["kernel"]), -1, 1, 1),
        uniform((6,), -1, 1, 2),
    )
    common = {"strides": w["strides"], "dilations": w["dilations"], "groups": groups}

    def build(x):
        custom = mb.conv(x=x, weight=weight.numpy(), bias=bias.numpy(), pad_type="custom", pad=pads(w), **common)
        return custom, mb.conv(x=x, weight=weight.numpy(), pad_type="valid", **common)

    arguments = (w["strides"], 0, w["dilations"], groups)
    wanted = [CONV[rank](F.pad(x, torch_pads(w)), weight, bias, *arguments), CONV[rank](x, weight, None, *arguments)]
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(st.integers(5, 9), st.integers(1, 4), st.integers(1, 2))
def test_same_padding_covers_the_input(size: int, kernel: int, dilation: int) -> None:
    """At stride 1 `same` keeps the size; odd padding goes after, or with same_lower before."""
    x, weight = uniform((1, 1, size), -1, 1), uniform((1, 1, kernel), -1, 1, 1)
    total = (kernel - 1) * dilation
    low = total // 2

    def build(x):
        return [
            mb.conv(x=x, weight=weight.numpy(), pad_type=kind, dilations=[dilation]) for kind in ("same", "same_lower")
        ]

    after, before = F.pad(x, [low, total - low]), F.pad(x, [total - low, low])
    check(evaluated(build, {"x": x}), [F.conv1d(each, weight, dilation=dilation) for each in (after, before)])


@FEW
@given(windows(), st.sampled_from([1, 2]))
def test_conv_transpose(w: dict[str, list[int]], groups: int) -> None:
    rank = len(w["sizes"])
    x, weight, bias = (
        uniform((1, 4, *w["sizes"]), -1, 1),
        uniform((4, 3, *w["kernel"]), -1, 1, 1),
        uniform((3 * groups,), -1, 1, 2),
    )
    pad = [min(n, k - 1) for n, k in zip(w["before"], w["kernel"], strict=True)]
    common = {"weight": weight.numpy(), "strides": w["strides"], "groups": groups, "dilations": w["dilations"]}

    def build(x):
        custom = mb.conv_transpose(
            x=x, bias=bias.numpy(), pad_type="custom", pad=[n for n in pad for _ in (0, 1)], **common
        )
        return custom, mb.conv_transpose(x=x, pad_type="valid", **common)

    wanted = [
        TRANSPOSED[rank](x, weight, bias, w["strides"], pad, 0, groups, w["dilations"]),
        TRANSPOSED[rank](x, weight, None, w["strides"], 0, 0, groups, w["dilations"]),
    ]
    check(evaluated(build, {"x": x}), wanted)


def test_conv_transpose_to_a_given_shape() -> None:
    """What torch calls output_padding: the far end of the whole result is kept, or is zeros beyond it."""
    x, weight = uniform((1, 2, 4, 4), -1, 1), uniform((2, 3, 3, 3), -1, 1, 1)
    whole = F.conv_transpose2d(x, weight, stride=2)

    def build(x):
        common = {"x": x, "weight": weight.numpy(), "strides": [2, 2]}
        same = mb.conv_transpose(pad_type="same", **common)
        return same, mb.conv_transpose(pad_type="custom", pad=[1, 0, 1, 0], output_shape=[1, 3, 8, 8], **common)

    check(evaluated(build, {"x": x}), [whole[..., :8, :8], whole[..., 1:9, 1:9]])


@FEW
@given(windows())
def test_pooling(w: dict[str, list[int]]) -> None:
    rank = len(w["sizes"])
    x, kernel = uniform((2, 3, *w["sizes"]), -1, 1), w["kernel"]
    # A stride beyond the kernel could begin a window behind the input, which torch leaves out and MIL does not.
    strides = [min(s, k) for s, k in zip(w["strides"], kernel, strict=True)]
    pad = [min(n, k // 2) for n, k in zip(w["before"], kernel, strict=True)]
    custom = {"kernel_sizes": kernel, "strides": strides, "pad_type": "custom", "pad": [n for n in pad for _ in (0, 1)]}
    ceil = rank < 3

    def build(x):
        made = [mb.max_pool(x=x, ceil_mode=ceil, **custom)]
        made += [mb.avg_pool(x=x, exclude_padding_from_average=e, ceil_mode=ceil, **custom) for e in (False, True)]
        made += [mb.max_pool(x=x, kernel_sizes=kernel, strides=strides, pad_type="valid")]
        return [*made, mb.l2_pool(x=x, kernel_sizes=kernel, strides=strides, pad_type="valid")] if rank < 3 else made

    wanted = [MAX[rank](x, kernel, strides, pad, ceil_mode=ceil)]
    wanted += [
        AVG[rank](x, kernel, strides, pad, ceil_mode=ceil, count_include_pad=include) for include in (True, False)
    ]
    wanted += [MAX[rank](x, kernel, strides)]
    if rank < 3:
        wanted += [(AVG[rank](x * x, kernel, strides) * float(np.prod(kernel))).sqrt()]
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(st.lists(st.integers(1, 5), min_size=3, max_size=4).map(tuple), st.integers(1, 4))
def test_normalizations(shape: tuple[int, ...], size: int) -> None:
    x, channels = uniform((2, *shape[1:]), -2, 2), shape[1]
    gamma, beta, mean = (uniform((channels,), -1, 1, i) for i in range(3))
    variance, last = uniform((channels,), 0.5, 2, 3), uniform(shape[-1:], -1, 1, 4)

    def build(x):
        scale = {"gamma": gamma.numpy(), "beta": beta.numpy()}
        return [
            mb.batch_norm(x=x, mean=mean.numpy(), variance=variance.numpy(), epsilon=1e-3, **scale),
            mb.batch_norm(x=x, mean=mean.numpy(), variance=variance.numpy()),
            mb.instance_norm(x=x, epsilon=1e-3, **scale),
            mb.layer_norm(x=x, axes=[-1], gamma=last.numpy(), beta=last.numpy(), epsilon=1e-3),
            mb.layer_norm(x=x, axes=[1, 2]),
            mb.l2_norm(x=x, epsilon=1e-3),
            mb.local_response_norm(x=x, size=size, alpha=0.3, beta=0.5, k=1.5),
        ]

    wanted = [
        F.batch_norm(x, mean, variance, gamma, beta, eps=1e-3),
        F.batch_norm(x, mean, variance),
        F.group_norm(x, channels, gamma, beta, eps=1e-3),  # one channel a group: instance norm, for one pixel, too
        F.layer_norm(x, x.shape[-1:], last, last, eps=1e-3),
        F.layer_norm(x.movedim((1, 2), (-2, -1)), x.shape[1:3]).movedim((-2, -1), (1, 2)),
        x / (x.square().sum((-3, -2, -1), keepdim=True) + 1e-3).sqrt(),
        F.local_response_norm(x, size, 0.3, 0.5, 1.5),
    ]
    check(evaluated(build, {"x": x}), wanted, rtol=1e-4, atol=1e-4)


@FEW
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple), st.booleans(), st.data())
def test_reductions(shape: tuple[int, ...], keep: bool, data: st.DataObject) -> None:
    x = uniform(shape, 0.5, 2)
    axes = data.draw(st.lists(st.integers(-len(shape), -1), min_size=1, max_size=len(shape) - 1, unique=True))
    names = {
        "reduce_l1_norm": lambda: x.abs().sum(axes, keep), "reduce_l2_norm": lambda: x.square().sum(axes, keep).sqrt(),
        "reduce_log_sum": lambda: x.sum(axes, keep).log(), "reduce_log_sum_exp": lambda: x.logsumexp(axes, keep),
        "reduce_max": lambda: x.amax(axes, keep), "reduce_mean": lambda: x.mean(axes, keep),
        "reduce_min": lambda: x.amin(axes, keep), "reduce_sum": lambda: x.sum(axes, keep),
        "reduce_prod": lambda: x.log().sum(axes, keep).exp(), "reduce_sum_square": lambda: x.square().sum(axes, keep),
    }  # fmt: skip
    found = evaluated(lambda x: [getattr(mb, name)(x=x, axes=axes, keep_dims=keep) for name in names], {"x": x})
    check(found, [wanted() for wanted in names.values()], rtol=1e-4)
    arguments = {"axis": axes[0], "keep_dims": keep}
    found = evaluated(lambda x: [mb.reduce_argmax(x=x, **arguments), mb.reduce_argmin(x=x, **arguments)], {"x": x})
    check(found, [x.argmax(axes[0], keep), x.argmin(axes[0], keep)])


@FEW
@given(st.lists(st.integers(1, 4), min_size=4, max_size=4), st.booleans(), st.booleans())
def test_products(sizes: list[int], flip_x: bool, flip_y: bool) -> None:
    b, m, k, n = sizes
    x, y = uniform((b, k, m) if flip_x else (b, m, k), -1, 1), uniform((n, k) if flip_y else (k, n), -1, 1, 1)
    wanted = (x.mT if flip_x else x) @ (y.mT if flip_y else y)
    check(
        evaluated(lambda x, y: mb.matmul(x=x, y=y, transpose_x=flip_x, transpose_y=flip_y), {"x": x, "y": y}), [wanted]
    )
    weight, bias, rows = uniform((n, k), -1, 1, 2), uniform((n,), -1, 1, 3), uniform((b, m, k), -1, 1)

    def build(x):
        return mb.linear(x=x, weight=weight.numpy(), bias=bias.numpy()), mb.linear(x=x, weight=weight.numpy())

    check(evaluated(build, {"x": rows}), [F.linear(rows, weight, bias), F.linear(rows, weight)])
    p, q = uniform((b, m, 2, k), -1, 1), uniform((b, k, 1, n), -1, 1, 1)
    found = evaluated(lambda p, q: mb.einsum(values=[p, q], equation="nchw,nwhu->nchu"), {"p": p, "q": q})
    check(found, [torch.einsum("nchw,nwhu->nchu", p, q.expand(b, k, 2, n))])


@FEW
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_attention(heads: int, length: int, source: int, masked: bool) -> None:
    q, k, v = (
        uniform((1, heads, length, 4), -1, 1),
        uniform((1, heads, source, 4), -1, 1, 1),
        uniform((1, heads, source, 6), -1, 1, 2),
    )
    mask = uniform((length, source), -3, 0, 3)

    def build(q, k, v):
        extra = {"attn_mask": mask.numpy()} if masked else {}
        return mb.scaled_dot_product_attention(query=q, key=k, value=v, **extra)

    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask if masked else None)
    check(evaluated(build, {"q": q, "k": k, "v": v}, ios=18), [wanted])
