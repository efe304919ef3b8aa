"""The losses of distillation, as functions of tensors. All are means, so that weights mean the same at any size."""

from __future__ import annotations

import torch
from torch.nn import functional

from seatrial_targets.errors import ModelError


def response_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float,
    class_axis: int = 1,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over all decisions, in nats.

    Logits of any shape with the classes on ``class_axis``; ``mask`` has the shape without that axis, and what is False
    or 0 in it counts nothing (padding). Raises ModelError when shapes differ or the mask leaves nothing.
    """
    check_alike(student, teacher)
    log_p = functional.log_softmax(student / temperature, dim=class_axis)
    log_q = functional.log_softmax(teacher / temperature, dim=class_axis)
    divergence = (log_q.exp() * (log_q - log_p)).sum(dim=class_axis)
    return temperature**2 * masked_mean(divergence, mask)


def value_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error, for outputs that are no probabilities (embeddings, depths, boxes)."""
    check_alike(student, teacher)
    return functional.mse_loss(student, teacher)


def token_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean cross-entropy of each next token: logits (N, T, V), labels (N, T), where -100 counts nothing.

    Position t predicts label t + 1, as in Hugging Face's causal language models. ``mask`` (N, T): padding is 0.
    """
    labels = labels if mask is None else labels.masked_fill(mask == 0, -100)
    flat, wanted = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    if not bool((wanted != -100).any()):
        raise ModelError("a batch has no token to predict: all of it is padding or labelled -100")
    return functional.cross_entropy(flat, wanted, ignore_index=-100)


def cosine_loss(student: torch.Tensor, teacher: torch.Tensor, axis: int = 1) -> torch.Tensor:
    """Return the mean of 1 - cosine along ``axis``."""
    check_alike(student, teacher)
    return (1.0 - functional.cosine_similarity(student, teacher, dim=axis)).mean()


def attention_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return how far attention maps are apart; the channels or heads of the two may differ in number.

    Features (N, C, H, W): half the squared distance of the normalised sum of squares over C (Zagoruyko and Komodakis,
    "Paying more attention to attention", 2017). Attention (N, heads, T, T), told by its square, row-stochastic last
    axes: squared error of the mean over heads (after Jiao et al., "TinyBERT", 2020).
    """
    if is_attention(student) and is_attention(teacher):
        first, second = student.mean(dim=1), teacher.mean(dim=1)
        check_alike(first, second)
        return functional.mse_loss(first, second) * first.shape[-1]
    first, second = energy(student), energy(teacher)
    check_alike(first, second)
    return (first - second).pow(2).sum(dim=1).mean() / 2.0


def energy(features: torch.Tensor) -> torch.Tensor:
    """Return the normalised spatial energy (N, H * W) of features (N, C, H, W).

    >>> energy(torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]])).round(decimals=3).tolist()
    [[0.914, 0.406]]
    """
    if features.ndim != 4:
        raise ModelError(
            f"attention needs features (N, C, H, W) or probabilities (N, heads, T, T), not {features.ndim} axes"
        )
    return functional.normalize(features.pow(2).sum(dim=1).flatten(1), dim=1)


def is_attention(value: torch.Tensor) -> bool:
    """True for probabilities (N, heads, T, T): each row sums to 1."""
    if value.ndim != 4 or value.shape[2] != value.shape[3]:
        return False
    rows = value.detach().sum(dim=-1)
    return bool(torch.allclose(rows, torch.ones_like(rows), atol=1e-3))


def masked_mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of the values that ``mask`` keeps. Raises ModelError for other shapes, and when it keeps none."""
    if mask is None:
        return values.mean()
    if mask.shape != values.shape:
        raise ModelError(f"the mask is {list(mask.shape)}, the decisions are {list(values.shape)}")
    kept = mask != 0
    if not bool(kept.any()):
        raise ModelError("a batch has no token to learn from: all of it is padding")
    return values[kept].mean()


def check_alike(student: torch.Tensor, teacher: torch.Tensor) -> None:
    """Raise ModelError when the two have not the same shape."""
    if student.shape != teacher.shape:
        raise ModelError(f"the student answers {list(student.shape)}, the teacher {list(teacher.shape)}")
