"""Operations that move, cut, pick and place values against torch, over generated shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seatrial_targets.errors import EvaluationError

from .programs import check, evaluated, mb
from .test_elementwise import uniform

FEW = settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
SHAPES = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
SMALL = st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple)  # Core ML has tensors of up to 5 dimensions
MODES = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@FEW
@given(SMALL, st.data())
def test_reshaping(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = uniform(shape, -1, 1)
    rank = len(shape)
    perm, axis = data.draw(st.permutations(range(rank))), data.draw(st.integers(-rank, rank - 1))
    cut = data.draw(st.integers(1, rank))

    def build(x):
        return [
            mb.reshape(x=x, shape=[-1, shape[-1]]), mb.reshape(x=x, shape=[*[0] * (rank - 1), -1]),
            mb.transpose(x=x, perm=perm), mb.expand_dims(x=x, axes=[0, -1]),
            mb.squeeze(x=mb.expand_dims(x=x, axes=[axis]), axes=[axis]), mb.flatten2d(x=x, axis=cut),
            mb.reverse(x=x, axes=[axis]), mb.tile(x=x, reps=[2] * rank), mb.concat(values=[x, x], axis=axis),
            mb.concat(values=[x, mb.add(x=x, y=1.0)], axis=axis, interleave=True), mb.stack(values=[x, x], axis=axis),
            mb.cast(x=mb.shape(x=x), dtype="fp32"), mb.fill_like(ref_tensor=x, value=3.0), mb.reverse(x=x),
            mb.reshape_like(x=x, ref_tensors=[x], begins=[0], ends=[rank], end_masks=[False]),
        ]  # fmt: skip

    positive = axis % rank
    interleaved = torch.stack([x, x + 1], positive + 1).flatten(positive, positive + 1)
    wanted = [
        x.reshape(-1, shape[-1]), x, x.permute(perm), x[None, ..., None], x,
        x.reshape(int(np.prod(shape[:cut])), -1), x.flip(axis), x.repeat([2] * rank), torch.cat([x, x], axis),
        interleaved, torch.stack([x, x], axis), torch.tensor(shape).float(), torch.full(shape, 3.0),
        x.flip(tuple(range(rank))), x,
    ]  # fmt: skip
    check(evaluated(build, {"x": x}), wanted)


def test_a_zero_in_a_shape_means_another_thing_from_ios_17_on() -> None:
    x = uniform((2, 50), -1, 1)
    assert evaluated(lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]), {"x": x}, ios=17)[0].shape == (1, 1, 2, 50)
    assert evaluated(lambda x: mb.reshape(x=x, shape=[0, -1]), {"x": x}, ios=16)[0].shape == (2, 50)


@FEW
@given(SHAPES, st.data())
def test_slices(shape: tuple[int, ...], data: st.DataObject) -> None:
    x, rank = uniform(shape, -1, 1), len(shape)
    begin = [data.draw(st.integers(0, n - 1)) for n in shape]
    end = [data.draw(st.integers(b + 1, n)) for b, n in zip(begin, shape, strict=True)]
    stride = [data.draw(st.integers(1, 2)) for _ in shape]
    whole, gone = [data.draw(st.booleans()) for _ in shape], [data.draw(st.booleans()) for _ in shape[1:]] + [False]
    plain = tuple(slice(*each) for each in zip(begin, end, stride, strict=True))
    masked = tuple(
        (0 if open_ else b) if squeezed else slice(None if open_ else b, None if open_ else e, s)
        for b, e, s, open_, squeezed in zip(begin, end, stride, whole, gone, strict=True)
    )

    def build(x):
        masks = {"begin_mask": whole, "end_mask": whole, "squeeze_mask": gone}
        negative = {"begin": [-1] * rank, "end": [-n - 1 for n in shape], "stride": [-1] * rank}
        sizes = [e - b for b, e in zip(begin, end, strict=True)]
        return [
            mb.slice_by_index(x=x, begin=begin, end=end, stride=stride),
            mb.slice_by_index(x=x, begin=begin, end=end, stride=stride, **masks),
            mb.slice_by_index(x=x, **negative, end_mask=[True] * rank),
            mb.slice_by_size(x=x, begin=begin, size=sizes),
            mb.slice_by_size(x=x, begin=begin, size=[-1] * rank),
        ]

    at_size = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
    wanted = [x[plain], x[masked], x.flip(tuple(range(rank))), x[at_size], x[tuple(slice(b, None) for b in begin)]]
    check(evaluated(build, {"x": x}), wanted)
    update = uniform(tuple(x[plain].shape), 5, 6, 1)
    changed = x.clone()
    changed[plain] = update
    found = evaluated(
        lambda x, u: mb.slice_update(x=x, update=u, begin=begin, end=end, stride=stride), {"x": x, "u": update}, ios=18
    )
    check(found, [changed])


@FEW
@given(SHAPES, st.data())
def test_splits_and_pads(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = uniform((4, *shape[1:]), -1, 1)
    pad = [data.draw(st.integers(0, 2)) for _ in range(4)]
    wide = uniform((1, 2, 4, 5), -1, 1, 1)

    def build(x, w):
        halves = mb.split(x=x, num_splits=2, axis=0)
        uneven = mb.split(x=x, split_sizes=[1, 3], axis=0)
        pads = [mb.pad(x=w, pad=pad, mode=mode) for mode in ("reflect", "replicate")]
        return [
            *halves,
            *uneven,
            *pads,
            mb.pad(x=w, pad=pad, constant_val=7.0),
            mb.crop(x=w, crop_height=[1, 1], crop_width=[0, 2]),
        ]

    reverse = [pad[2], pad[3], pad[0], pad[1]]
    wanted = [*x.split(2), *x.split([1, 3]), F.pad(wide, reverse, "reflect"), F.pad(wide, reverse, "replicate"),
              F.pad(wide, reverse, value=7.0), wide[..., 1:3, :3]]  # fmt: skip
    check(evaluated(build, {"x": x, "w": wide}), wanted)


@FEW
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))
def test_between_channels_pixels_and_batch(n: int, c: int, h: int, w: int) -> None:
    deep, wide = uniform((n, 4 * c, h, w), -1, 1), uniform((n, c, 2 * h, 2 * w), -1, 1)
    many = uniform((4 * n, c, h, w), -1, 1)

    def build(deep, wide, many):
        return [
            mb.pixel_shuffle(x=deep, upscale_factor=2), mb.pixel_unshuffle(x=wide, downscale_factor=np.uint32(2)),
            mb.space_to_depth(x=mb.depth_to_space(x=deep, block_size=2), block_size=2),
            mb.batch_to_space(x=mb.space_to_batch(x=wide, block_shape=[2, 2], paddings=[[0, 0], [0, 0]]),
                              block_shape=[2, 2], crops=[[0, 0], [0, 0]]),
            mb.depth_to_space(x=deep, block_size=2),
            mb.batch_to_space(x=many, block_shape=[2, 2], crops=[[1, 0], [0, 1]]),
        ]  # fmt: skip

    # TensorFlow's orders: the block's row, its column, then the channel.
    blocks = deep.reshape(n, 2, 2, c, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c, 2 * h, 2 * w)
    spread = many.reshape(2, 2, n, c, h, w).permute(2, 3, 4, 0, 5, 1).reshape(n, c, 2 * h, 2 * w)
    wanted = [F.pixel_shuffle(deep, 2), F.pixel_unshuffle(wide, 2), deep, wide, blocks, spread[:, :, 1:, :-1]]
    check(evaluated(build, {"deep": deep, "wide": wide, "many": many}), wanted)


@FEW
@given(st.integers(2, 5), st.integers(2, 5), st.booleans(), st.booleans(), st.integers(-1, 2), st.integers(-1, 2))
def test_along_an_axis(rows: int, columns: int, exclusive: bool, reverse: bool, lower: int, upper: int) -> None:
    x = uniform((rows, columns), -1, 1)
    lengths = [(i % columns) + 1 for i in range(rows)]

    def build(x):
        return [
            mb.cumsum(x=x, axis=1, exclusive=exclusive, reverse=reverse), mb.band_part(x=x, lower=lower, upper=upper),
            mb.sliding_windows(x=x, axis=1, size=2, stride=2),
            mb.reverse_sequence(x=x, lengths=lengths, seq_axis=1, batch_axis=0),
        ]  # fmt: skip

    turned = x.flip(1) if reverse else x
    total = turned.cumsum(1) - (turned if exclusive else 0)
    band = x.clone()
    band = band.tril(upper) if upper >= 0 else band
    band = band.triu(-lower) if lower >= 0 else band
    sequences = torch.stack([torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(x, lengths, strict=True)])
    wanted = [total.flip(1) if reverse else total, band, x.unfold(1, 2, 2), sequences]
    check(evaluated(build, {"x": x}), wanted)


def test_making_tensors() -> None:
    x = torch.tensor([2, 0, 1], dtype=torch.int32)

    def build(x):
        end = mb.add(x=mb.slice_by_index(x=x, begin=[0], end=[1], squeeze_mask=[True]), y=5)
        return [
            mb.range_1d(start=0, end=end, step=2), mb.one_hot(indices=x, one_hot_vector_size=3),
            mb.one_hot(indices=x, one_hot_vector_size=4, axis=0, on_value=2.0, off_value=-1.0),
            mb.fill(shape=[2, 2], value=1.5), mb.fill(shape=x, value=4), mb.non_zero(x=x),
        ]  # fmt: skip

    hot = F.one_hot(x.long(), 4).T.float() * 3 - 1
    wanted = [torch.tensor([0, 2, 4, 6]), F.one_hot(x.long(), 3), hot, torch.full((2, 2), 1.5), torch.zeros(2, 0, 1),
              torch.tensor([[0], [2]])]  # fmt: skip
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(SHAPES, st.data())
def test_gathers(shape: tuple[int, ...], data: st.DataObject) -> None:
    x, axis = uniform(shape, -1, 1), data.draw(st.integers(0, len(shape) - 1))
    at = data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=4))
    indices = torch.tensor(at, dtype=torch.int32)
    along = (torch.arange(x.numel()).reshape(shape) % shape[axis]).int()
    places = torch.tensor([[data.draw(st.integers(0, n - 1)) for n in shape[:2]] for _ in range(3)], dtype=torch.int32)

    def build(x, i, a, p):
        return [
            mb.gather(x=x, indices=i, axis=axis),
            mb.gather_along_axis(x=x, indices=a, axis=axis),
            mb.gather_nd(x=x, indices=p),
        ]

    wanted = [x.index_select(axis, indices), x.gather(axis, along.long()), x[places[:, 0].long(), places[:, 1].long()]]
    check(evaluated(build, {"x": x, "i": indices, "a": along, "p": places}), wanted)
    if axis:
        batched = uniform((2, *shape), -1, 1)
        rows = indices.repeat(2, 1)
        found = evaluated(
            lambda x, i: mb.gather(x=x, indices=i, axis=axis + 1, batch_dims=1), {"x": batched, "i": rows}
        )
        check(found, [batched.index_select(axis + 1, indices)])


@FEW
@given(st.integers(2, 4), st.integers(1, 3), st.sampled_from(["update", "sub", "div", *MODES]))
def test_scatters(rows: int, columns: int, mode: str) -> None:
    data, updates = uniform((rows, columns), 1, 2), uniform((2, columns), 1, 2, 1)
    indices = torch.tensor([rows - 1, 0], dtype=torch.int32)
    wide = indices[:, None].expand(2, columns).contiguous()

    def build(d, u, i, w):
        return [
            mb.scatter(data=d, indices=i, updates=u, axis=0, mode=mode),
            mb.scatter_along_axis(data=d, indices=w, updates=u, axis=0, mode=mode),
            mb.scatter_nd(data=d, indices=mb.expand_dims(x=i, axes=[1]), updates=u, mode=mode),
        ]

    combined = {"update": updates, "add": data[[-1, 0]] + updates, "sub": data[[-1, 0]] - updates,
                "mul": data[[-1, 0]] * updates, "div": data[[-1, 0]] / updates,
                "max": data[[-1, 0]].maximum(updates), "min": data[[-1, 0]].minimum(updates)}[mode]  # fmt: skip
    wanted = data.clone()
    wanted[[-1, 0]] = combined
    check(evaluated(build, {"d": data, "u": updates, "i": indices, "w": wide}), [wanted] * 3)


def test_an_index_that_comes_twice_adds_twice() -> None:
    data, updates, indices = torch.zeros(3), torch.tensor([1.0, 2.0]), torch.tensor([1, 1], dtype=torch.int32)
    found = evaluated(
        lambda d, u, i: mb.scatter(data=d, indices=i, updates=u, mode="add"), {"d": data, "u": updates, "i": indices}
    )
    check(found, [torch.tensor([0.0, 3.0, 0.0])])


def test_negative_indices_count_from_the_end_until_ios_16_and_are_undefined_after() -> None:
    x, indices = torch.arange(3.0), torch.tensor([-1], dtype=torch.int32)

    def build(x, i):
        return mb.gather(x=x, indices=i, axis=0)

    check(evaluated(build, {"x": x, "i": indices}, ios=16), [torch.tensor([2.0])])
    with pytest.raises(
        EvaluationError, match=r"gather .* reads index -1 of 3; Core ML leaves the result of that undefined"
    ):
        evaluated(build, {"x": x, "i": indices}, ios=17)


@FEW
@given(st.integers(1, 3), st.integers(2, 6), st.booleans(), st.data())
def test_sorting_and_choosing(rows: int, columns: int, ascending: bool, data: st.DataObject) -> None:
    order = torch.tensor([data.draw(st.permutations(range(columns))) for _ in range(rows)])
    x, k = order.float(), data.draw(st.integers(1, columns))

    def build(x):
        values, indices = mb.topk(x=x, k=k, axis=1, ascending=ascending)
        chosen = mb.select(cond=mb.greater(x=x, y=1.0), a=x, b=mb.sub(x=0.0, y=x))
        return [values, indices, mb.argsort(x=x, axis=1, ascending=ascending), chosen]

    best = x.topk(k, 1, largest=not ascending)
    wanted = [best.values, best.indices, x.argsort(1, descending=not ascending), torch.where(x > 1, x, -x)]
    check(evaluated(build, {"x": x}), wanted)


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    """Boxes 0 and 1 overlap by .9 of their union, box 2 is apart; box 3 lies under the score threshold."""
    boxes = torch.tensor([[[5.0, 5, 10, 10], [5.5, 5, 10, 10], [30, 30, 4, 4], [60, 60, 4, 4]]])
    scores = torch.tensor([[[0.8], [0.9], [0.5], [0.1]]])

    def old(b, s):
        return list(mb.non_maximum_suppression(boxes=b, scores=s, iou_threshold=0.5, score_threshold=0.3, max_boxes=3))

    kept = torch.stack([boxes[0, 1], boxes[0, 2], torch.zeros(4)])[None]
    wanted = [kept, torch.tensor([[[0.9], [0.5], [0.0]]]), torch.tensor([[1, 2, -1]]), torch.tensor([2])]
    check(evaluated(old, {"b": boxes, "s": scores}, ios=16), wanted)

    def new(b, s):
        return list(mb.non_maximum_suppression(boxes=b, scores=s, iou_threshold=0.5, max_boxes=3))

    found = evaluated(new, {"b": boxes.mT.contiguous(), "s": scores.mT.contiguous()}, ios=17)
    check(found[2:], [torch.tensor([[1, 2, 3]])])
    check(found[:1], [boxes[:, 1:].mT])


def test_suppression_per_class_lets_classes_overlap() -> None:
    boxes = torch.tensor([[[5.0, 5, 10, 10], [5.0, 5, 10, 10]]])
    scores = torch.tensor([[[0.8, 0.1], [0.1, 0.9]]])
    for per_class, kept in ((True, [1, 0]), (False, [1, -1])):

        def build(b, s, per_class=per_class):
            return mb.non_maximum_suppression(boxes=b, scores=s, iou_threshold=0.5, score_threshold=0.0, max_boxes=2,
                                              per_class_suppression=per_class)[2]  # fmt: skip

        check(evaluated(build, {"b": boxes, "s": scores}, ios=16), [torch.tensor([kept])])
