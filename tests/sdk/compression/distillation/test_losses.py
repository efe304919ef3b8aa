"""The losses of distillation, held against formulas worked out by hand and against other implementations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from seatrial.compression.distillation.losses import (
    attention_loss,
    cosine_loss,
    energy,
    is_attention,
    response_loss,
    token_cross_entropy,
    value_loss,
)
from seatrial_targets.errors import ModelError


def test_two_classes_by_hand() -> None:
    # At T = 1: teacher (1/2, 1/2), student (3/4, 1/4): KL = ln 2 - (ln 3)/2 + ... = (ln(4/3))/2
    student = torch.tensor([[math.log(3.0), 0.0]])
    teacher = torch.tensor([[0.0, 0.0]])
    assert response_loss(student, teacher, 1.0).item() == pytest.approx(math.log(4 / 3) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 20))
def test_it_is_torchs_divergence_times_the_square_of_the_temperature(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 5, 7, generator=generator)
    expected = temperature**2 * functional.kl_div(
        functional.log_softmax(student / temperature, 1),
        functional.log_softmax(teacher / temperature, 1),
        log_target=True,
        reduction="batchmean",
    )
    assert response_loss(student, teacher, temperature).item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


def test_at_high_temperature_the_gradient_is_that_of_the_squared_distance_of_logits() -> None:
    # Hinton et al., section 2.1, for zero-mean logits: T^2 dKL/dz = (z - v) / N, over the batch's size.
    student, teacher = torch.randn(2, 4, 6)
    student = (student - student.mean(1, keepdim=True)).requires_grad_()
    teacher = teacher - teacher.mean(1, keepdim=True)
    response_loss(student, teacher, 1000.0).backward()
    assert torch.allclose(student.grad, (student - teacher) / 6 / 4, atol=1e-3)


def test_padding_teaches_nothing() -> None:
    student = torch.randn(2, 3, 5, requires_grad=True)
    teacher = torch.randn(2, 3, 5)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    loss = response_loss(student, teacher, 2.0, class_axis=-1, mask=mask)
    loss.backward()
    assert (student.grad.abs().sum(-1) > 0).tolist() == [[True, True, False], [True, False, False]]
    changed = student.detach().clone()
    changed[mask == 0] = 100.0
    assert response_loss(changed, teacher, 2.0, class_axis=-1, mask=mask).item() == pytest.approx(loss.item())
    with pytest.raises(ModelError, match="all of it is padding"):
        response_loss(student, teacher, 2.0, class_axis=-1, mask=torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"the mask is \[2, 2\], the decisions are \[2, 3\]"):
        response_loss(student, teacher, 2.0, class_axis=-1, mask=torch.ones(2, 2))


def test_dense_outputs_have_their_classes_on_axis_1() -> None:
    student, teacher = torch.randn(2, 2, 4, 3, 3)
    flat = [each.permute(0, 2, 3, 1).reshape(-1, 4) for each in (student, teacher)]
    assert response_loss(student, teacher, 3.0).item() == pytest.approx(response_loss(*flat, 3.0).item(), rel=1e-5)


def test_the_token_loss_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, 11, (3, 8))
    labels = ids.clone()
    labels[0, 5:] = -100
    labels[2, :] = -100
    found = model(input_ids=ids, labels=labels)
    assert token_cross_entropy(found.logits, labels).item() == pytest.approx(found.loss.item(), rel=1e-5)


def test_padding_is_no_label() -> None:
    logits, labels = torch.randn(2, 4, 5), torch.randint(0, 5, (2, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    marked = labels.masked_fill(mask == 0, -100)
    assert token_cross_entropy(logits, labels, mask).item() == token_cross_entropy(logits, marked).item()
    with pytest.raises(ModelError, match="no token to predict"):
        token_cross_entropy(logits, labels, torch.zeros(2, 4))


def test_attention_does_not_see_the_number_of_channels_or_their_scale() -> None:
    features = torch.rand(2, 3, 4, 4)
    assert attention_loss(features, torch.cat([features] * 2, dim=1) * 7).item() == pytest.approx(0.0, abs=1e-6)
    left, right = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    left[..., 0], right[..., 1] = 1.0, 1.0
    assert attention_loss(left, right).item() == pytest.approx(1.0)  # orthogonal unit vectors: |a - b|^2 / 2
    assert energy(left).tolist() == [[1.0, 0.0]]


def test_attention_probabilities_are_compared_as_such() -> None:
    uniform = torch.full((2, 4, 5, 5), 0.2)
    assert is_attention(uniform)
    assert not is_attention(torch.rand(2, 4, 5, 5))
    assert attention_loss(uniform, uniform[:, :2]).item() == pytest.approx(0.0)
    assert attention_loss(uniform, torch.eye(5).expand(2, 4, 5, 5)).item() > 0.1
    with pytest.raises(ModelError, match=r"attention needs features \(N, C, H, W\)"):
        attention_loss(torch.rand(2, 3), torch.rand(2, 3))


def test_cosine_sees_direction_and_values_see_size() -> None:
    first = torch.randn(4, 6)
    assert cosine_loss(first, 3 * first).item() == pytest.approx(0.0, abs=1e-6)
    assert cosine_loss(first, -first).item() == pytest.approx(2.0)
    assert value_loss(first, first + 2).item() == pytest.approx(4.0)
    with pytest.raises(ModelError, match=r"the student answers \[4, 6\], the teacher \[4, 5\]"):
        value_loss(first, first[:, :5])
