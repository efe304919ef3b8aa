"""Compressed weights and quantized activations: by construction, and against coremltools' own decompression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from .programs import check, evaluated, mb, types
from .test_elementwise import uniform

FEW = settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
SHAPES = st.lists(st.sampled_from([2, 4, 6]), min_size=2, max_size=3).map(tuple)
X = {"x": torch.zeros(1)}
SUB = {1: types.np_uint1_dtype, 2: types.np_uint2_dtype, 4: types.np_uint4_dtype, 6: types.np_uint6_dtype}


def integers(shape: tuple[int, ...], low: int, high: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True)


def added(made, x):
    """The decompressed weight as an output: constants alone are none."""
    return mb.add(x=made, y=x)


def witnessed(build, ios: int) -> list[torch.Tensor]:
    """Evaluate, and require that coremltools' own decompression of the same operation gives the same values."""
    seen: list[np.ndarray] = []

    def watched(x):
        made = build()
        for each in made if isinstance(made, list | tuple) else [made]:
            values = each.op.materialized_val_inference()
            seen.append(values[each.op.outputs.index(each)] if isinstance(values, tuple) else values)
        return [
            added(mb.cast(x=each, dtype="fp32"), x) for each in (made if isinstance(made, list | tuple) else [made])
        ]

    found = evaluated(watched, X, ios=ios)
    check(found, [torch.from_numpy(np.asarray(each).astype(np.float32)) for each in seen], rtol=1e-3)
    return found


@FEW
@given(SHAPES, st.booleans())
def test_affine_int8_of_ios_16(shape: tuple[int, ...], per_channel: bool) -> None:
    data = integers(shape, -128, 127).astype(np.int8)
    scale = np.linspace(0.01, 0.1, shape[0]).astype(np.float16) if per_channel else np.float16(0.05)
    zero = integers((shape[0],), -5, 5, 1).astype(np.int8) if per_channel else np.int8(3)
    (found,) = witnessed(
        lambda: mb.constexpr_affine_dequantize(quantized_data=data, scale=scale, zero_point=zero, axis=0), 16
    )
    spread = [-1] + [1] * (len(shape) - 1)
    wide = np.reshape(scale, spread) if per_channel else scale
    shift = np.reshape(zero, spread).astype(np.float32) if per_channel else 3.0
    check([found], [torch.from_numpy(((data - shift) * wide).astype(np.float32))], rtol=1e-3)


@FEW
@given(st.integers(1, 40), st.sampled_from([1, 2, 4, 6, 8]))
def test_palettes_of_ios_16(count: int, bits: int) -> None:
    lut, indices = uniform((2**bits,), -1, 1).numpy(), integers((count,), 0, 2**bits - 1)
    flags = (indices[:, None] >> np.arange(bits)) & 1
    packed = np.packbits(flags.astype(np.uint8).reshape(-1), bitorder="little")
    (found,) = witnessed(
        lambda: mb.constexpr_lut_to_dense(indices=packed, lut=lut, shape=np.array([count, 1], np.uint32)), 16
    )
    check([found], [torch.from_numpy(lut[indices])[:, None]])


@FEW
@given(SHAPES)
def test_sparse_of_ios_16_and_of_ios_18(shape: tuple[int, ...]) -> None:
    mask = integers(shape, 0, 1).astype(bool)
    mask.reshape(-1)[0] = True
    dense = np.where(mask, uniform(shape, 1, 2).numpy(), 0).astype(np.float16)
    values, flat = dense[mask], np.packbits(mask.reshape(-1), bitorder="little")
    wanted = [torch.from_numpy(dense.astype(np.float32))]
    old = witnessed(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=flat, shape=np.array(shape, np.uint32)), 16
    )
    new = witnessed(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask.astype(types.np_uint1_dtype)), 18
    )
    check(old, wanted)
    check(new, wanted)


@FEW
@given(SHAPES, st.sampled_from(["int4", "uint4", "int8", "uint8"]), st.booleans())
def test_blocks_of_ios_18(shape: tuple[int, ...], kind: str, shifted: bool) -> None:
    bits, signed = int(kind[-1]), kind.startswith("int")
    dtypes = {"int4": types.np_int4_dtype, "uint4": types.np_uint4_dtype, "int8": np.int8, "uint8": np.uint8}
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    data = integers(shape, low, high).astype(dtypes[kind])
    blocks = tuple(n // 2 for n in shape)
    scale = uniform(blocks, 0.01, 0.1).numpy().astype(np.float16)
    offset = integers(blocks, 0, 3, 1).astype(dtypes[kind])

    def build():
        return mb.constexpr_blockwise_shift_scale(data=data, scale=scale, **({"offset": offset} if shifted else {}))

    (found,) = witnessed(build, 18)
    wide, shift = (np.kron(each.astype(np.float32), np.ones([2] * len(shape))) for each in (scale, offset))
    plain = (data.astype(np.float32) - (shift if shifted else 0)) * wide
    check([found], [torch.from_numpy(plain.astype(np.float32))], rtol=1e-3)


@FEW
@given(SHAPES, st.sampled_from([1, 2, 4, 6]), st.sampled_from([1, 2]))
def test_palettes_of_ios_18_by_group_and_vector(shape: tuple[int, ...], bits: int, vector: int) -> None:
    indices = integers(shape, 0, 2**bits - 1).astype(SUB[bits])
    groups = (2, *[1] * (len(shape) - 1))
    lut = uniform((*groups, 2**bits, vector), -1, 1).numpy().astype(np.float16)
    extra = {"vector_axis": np.int32(0)} if vector > 1 else {}
    (found,) = witnessed(lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut, **extra), 18)
    half, plain = shape[0] // 2, indices.astype(int)
    tables = lut.reshape(2, 2**bits, vector)
    picked = np.concatenate([tables[0][plain[:half]], tables[1][plain[half:]]]).astype(np.float32)
    wanted = np.moveaxis(picked, -1, 1).reshape(shape[0] * vector, *shape[1:])
    check([found], [torch.from_numpy(wanted)])


@FEW
@given(SHAPES, st.sampled_from([1, 2]))
def test_sparse_weights_that_are_palettized_or_quantized_as_well(shape: tuple[int, ...], vector: int) -> None:
    mask = integers(shape, 0, 1).astype(types.np_uint1_dtype)
    mask.reshape(-1)[:2] = 1
    count = int((mask.astype(int) != 0).sum())
    lut = uniform((*[1] * len(shape), 4, vector), -1, 1).numpy().astype(np.float16)
    indices = integers((count,), 0, 3).astype(types.np_uint2_dtype)
    data = integers((count,), -8, 7).astype(types.np_int4_dtype)
    scale = uniform((shape[0], *[1] * (len(shape) - 1)), 0.1, 1).numpy().astype(np.float16)
    extra = {"vector_axis": np.int32(0)} if vector > 1 else {}

    def build():
        wide, values = mb.constexpr_lut_to_sparse(indices_mask=mask, indices_nonzero_data=indices, lut=lut, **extra)
        same, scaled = mb.constexpr_sparse_blockwise_shift_scale(data_mask=mask, nonzero_data=data, scale=scale)
        return (mb.constexpr_sparse_to_dense(nonzero_data=values, mask=wide),
                mb.constexpr_sparse_to_dense(nonzero_data=scaled, mask=same))  # fmt: skip

    found = evaluated(lambda x: [added(mb.cast(x=each, dtype="fp32"), x) for each in build()], X, ios=18)
    there = mask.astype(int) != 0
    palettized = np.zeros((*shape, vector), np.float32)
    palettized[there] = lut.reshape(4, vector)[indices.astype(int)]
    quantized = np.zeros(shape, np.float32)
    quantized[there] = data.astype(np.float32)
    wanted = np.moveaxis(palettized, -1, 1).reshape(shape[0] * vector, *shape[1:])
    check(found, [torch.from_numpy(wanted), torch.from_numpy(quantized * scale.astype(np.float32))], rtol=1e-3)


def test_a_cast_that_is_stored() -> None:
    values = np.array([1.5, -2.0], np.float16)
    (found,) = evaluated(lambda x: added(mb.constexpr_cast(source_val=values, output_dtype="fp32"), x), X, ios=16)
    check([found], [torch.tensor([1.5, -2.0])])


@FEW
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple), st.sampled_from(["int8", "uint8"]), st.booleans()
)
def test_activations_in_8_bits(shape: tuple[int, ...], kind: str, per_channel: bool) -> None:
    x = uniform(shape, -40, 40)
    dtype, limits = (np.int8, (-128, 127)) if kind == "int8" else (np.uint8, (0, 255))
    scale = np.linspace(0.1, 0.2, shape[1]).astype(np.float32) if per_channel else np.float32(0.25)
    zero = np.full(shape[1], 7, dtype) if per_channel else dtype(7)
    extra = {"axis": 1} if per_channel else {}

    def build(x):
        made = mb.quantize(input=x, scale=scale, zero_point=zero, output_dtype=kind, **extra)
        return mb.cast(x=made, dtype="fp32"), mb.dequantize(input=made, scale=scale, zero_point=zero, **extra)

    wide = torch.from_numpy(np.reshape(scale, [1, -1, *[1] * (len(shape) - 2)])) if per_channel else 0.25
    quantized = (torch.round(x / wide) + 7).clamp(*limits)
    check(evaluated(build, {"x": x}), [quantized, (quantized - 7) * wide])


@pytest.mark.parametrize("bits", [1, 2, 4, 6])
def test_a_whole_layer_on_palettized_weights(bits: int) -> None:
    """The evaluator executes what the weights decompress to: x @ lut[indices].T"""
    indices = integers((3, 8), 0, 2**bits - 1)
    lut = uniform((1, 1, 2**bits, 1), -1, 1).numpy()
    x = uniform((2, 8), -1, 1)

    def build(x):
        return mb.linear(x=x, weight=mb.constexpr_lut_to_dense(indices=indices.astype(SUB[bits]), lut=lut))

    check(evaluated(build, {"x": x}, ios=18), [x @ torch.from_numpy(lut.reshape(-1)[indices]).T])
