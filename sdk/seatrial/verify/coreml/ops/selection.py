"""Choosing: by condition, by rank, by overlap."""

from __future__ import annotations

import torch

from ..call import Call, Implementation


def _select(call: Call) -> torch.Tensor:
    return torch.where(call.tensor("cond").bool(), call.tensor("a"), call.tensor("b"))


def _non_zero(call: Call) -> torch.Tensor:
    return call.tensor("x").nonzero()


def _argsort(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return x.sort(dim=call.axis("axis", x.dim(), -1), descending=not call.flag("ascending", False), stable=True).indices


def _topk(call: Call) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    x, k = call.tensor("x"), call.integer("k", 1)
    axis = call.axis("axis", x.dim(), -1)
    order = x.sort(dim=axis, descending=not call.flag("ascending", False), stable=True)
    count = x.shape[axis] if k == -1 else k
    if count > x.shape[axis]:
        raise call.error(f"takes {k} of {x.shape[axis]} values")
    values, indices = order.values.narrow(axis, 0, count), order.indices.narrow(axis, 0, count)
    return (values, indices) if call.flag("return_indices", True) else values


def _suppression(call: Call) -> tuple[torch.Tensor, ...]:
    """What is short of max_boxes is filled with boxes and scores of 0 and indices of -1."""
    boxes, scores = call.tensor("boxes"), call.tensor("scores")
    newer = call.ios >= 17  # which has boxes in the last dimension, no score threshold, and no counts
    if newer:
        boxes, scores = boxes.transpose(1, 2), scores.transpose(1, 2)
    rows = [_suppressed(call, box, score) for box, score in zip(boxes, scores, strict=True)]
    kept_boxes, kept_scores, indices, counts = (torch.stack(each) for each in zip(*rows, strict=True))
    if newer:
        return kept_boxes.transpose(1, 2), kept_scores.transpose(1, 2), indices
    return kept_boxes, kept_scores, indices, counts


def _suppressed(call: Call, boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return boxes [max, 4], scores [max, K], indices [max] and their number, of boxes [B, 4] and scores [B, K]."""
    most, limit = call.integer("max_boxes"), call.number("score_threshold", -float("inf"))
    best, classes = scores.max(-1)
    same_class = classes[:, None] == classes[None]
    rivals = _overlap(boxes) > call.number("iou_threshold")
    if call.flag("per_class_suppression", False):
        rivals = rivals & same_class
    kept = _greedy(best, rivals, limit)[:most]
    indices = torch.full((most,), -1)
    indices[: len(kept)] = torch.tensor(kept, dtype=torch.long)
    there = (indices >= 0)[:, None]
    chosen = indices.clamp_min(0)
    zero = boxes.new_zeros(())
    return (
        torch.where(there, boxes[chosen], zero), torch.where(there, scores[chosen], zero), indices,
        torch.tensor(len(kept)),
    )  # fmt: skip


def _greedy(best: torch.Tensor, rivals: torch.Tensor, limit: float) -> list[int]:
    alive, kept = best >= limit, []
    for index in best.sort(descending=True, stable=True).indices.tolist():
        if alive[index]:
            kept.append(index)
            alive &= ~rivals[index]
    return kept


def _overlap(boxes: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of all pairs of boxes (x, y, width, height) with (x, y) in their middle."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    edges = (torch.minimum(high[:, None], high[None]) - torch.maximum(low[:, None], low[None])).clamp_min(0)
    shared, area = edges.prod(-1), boxes[:, 2:].prod(-1)
    return shared / (area[:, None] + area[None] - shared).clamp_min(1e-12)


OPS: dict[str, Implementation] = {
    "select": _select,
    "non_zero": _non_zero,
    "argsort": _argsort,
    "topk": _topk,
    "non_maximum_suppression": _suppression,
}
