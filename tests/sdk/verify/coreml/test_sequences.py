"""Recurrent layers, lists, loops, branches and states against torch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seatrial.exporters.coreml.convert import silence
from seatrial.verify.coreml.evaluator import Evaluator
from seatrial.verify.coreml.package import Package
from seatrial_targets.errors import EvaluationError

from .programs import check, ct, evaluated, mb, saved
from .test_elementwise import uniform

FEW = settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def reordered(weight: torch.Tensor) -> np.ndarray:
    """From torch's order of an LSTM's gates (i, f, z, o) to MIL's (i, f, o, z)."""
    i, f, z, o = weight.detach().chunk(4)
    return torch.cat([i, f, o, z]).numpy()


@FEW
@given(st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.booleans(), st.booleans())
def test_lstm(length: int, batch: int, hidden: int, both: bool, whole: bool) -> None:
    torch.manual_seed(length)
    layer = torch.nn.LSTM(3, hidden, bidirectional=both)
    x, ways = uniform((length, batch, 3), -1, 1), 2 if both else 1
    h, c = uniform((ways, batch, hidden), -1, 1, 1), uniform((ways, batch, hidden), -1, 1, 2)

    def weights(suffix: str, name: str) -> dict[str, np.ndarray]:
        bias = getattr(layer, f"bias_ih_l0{name}") + getattr(layer, f"bias_hh_l0{name}")
        return {
            f"weight_ih{suffix}": reordered(getattr(layer, f"weight_ih_l0{name}")),
            f"weight_hh{suffix}": reordered(getattr(layer, f"weight_hh_l0{name}")),
            f"bias{suffix}": reordered(bias),
        }

    def build(x, h, c):
        more = weights("_back", "_reverse") if both else {}
        direction = "bidirectional" if both else "forward"
        return mb.lstm(
            x=x, initial_h=h, initial_c=c, output_sequence=whole, direction=direction, **weights("", ""), **more
        )

    states, (last_h, last_c) = layer(x, (h, c))
    flat = [each.permute(1, 0, 2).reshape(batch, -1) for each in (last_h, last_c)]
    wanted = [states if whole else flat[0][None], *flat]
    joined = {"h": h.permute(1, 0, 2).reshape(batch, -1), "c": c.permute(1, 0, 2).reshape(batch, -1)}
    check(evaluated(build, {"x": x, **joined}), [each.detach() for each in wanted])


def test_lstm_reversed_with_peepholes_and_a_clipped_cell() -> None:
    """One step, one unit, all weights 0 but those looked at: gates are sigmoid(peephole * cell)."""
    x, state = torch.zeros(1, 1, 1), torch.ones(1, 1)
    peephole = np.array([1.0, 2.0, 3.0], np.float32)
    zeros = np.zeros((4, 1), np.float32)
    bias = np.array([0, 0, 0, 1], np.float32)

    def build(x, h, c):
        return mb.lstm(x=x, initial_h=h, initial_c=c, weight_ih=zeros, weight_hh=zeros, bias=bias, peephole=peephole,
                       direction="reverse", clip=np.float32(0.9))  # fmt: skip

    sigmoid, one = torch.sigmoid, torch.tensor(1.0)
    cell = (sigmoid(2 * one) * 1 + sigmoid(one) * torch.tanh(one)).clamp(-0.9, 0.9)
    h = sigmoid(3 * cell) * torch.tanh(cell)
    check(evaluated(build, {"x": x, "h": state, "c": state}), [h.reshape(1, 1, 1), h.reshape(1, 1), cell.reshape(1, 1)])


@FEW
@given(st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_rnn_and_gru(length: int, hidden: int, backwards: bool) -> None:
    torch.manual_seed(length)
    x, h = uniform((length, 1, 3), -1, 1), uniform((1, hidden), -1, 1, 1)
    rnn, gru = torch.nn.RNN(3, hidden), torch.nn.GRU(3, hidden)
    direction = "reverse" if backwards else "forward"

    def rows(weight: torch.Tensor) -> np.ndarray:  # torch: r, z, n; MIL: r, o (which is n), z
        r, z, n = weight.detach().chunk(3)
        return torch.cat([r, n, z]).numpy()

    def build(x, h):
        bias = (rnn.bias_ih_l0 + rnn.bias_hh_l0).detach().numpy()
        first = mb.rnn(x=x, initial_h=h, weight_ih=rnn.weight_ih_l0.detach().numpy(), output_sequence=True, bias=bias,
                       weight_hh=rnn.weight_hh_l0.detach().numpy(), direction=direction)  # fmt: skip
        second = mb.gru(x=x, initial_h=h, weight_ih=rows(gru.weight_ih_l0), weight_hh=rows(gru.weight_hh_l0),
                        bias=rows(gru.bias_hh_l0), input_bias=rows(gru.bias_ih_l0), reset_after=True,
                        output_sequence=True, direction=direction)  # fmt: skip
        return [*first, *second]

    wanted = []
    for layer in (rnn, gru):
        states, last = layer(x.flip(0) if backwards else x, h[None])
        wanted += [states.detach(), last[0].detach()]  # in the order in which they were computed
    check(evaluated(build, {"x": x, "h": h}, ios=18), wanted)


def test_gru_before_ios_18_resets_the_state_before_the_product() -> None:
    """Reset gate one half (all its weights are 0), update gate 0 (bias -100): o = tanh(w * h / 2)."""
    weight_hh = np.array([[0.0], [2.0], [0.0]], np.float32)
    bias = np.array([0.0, 0.0, -100.0], np.float32)

    def build(x, h):
        return mb.gru(x=x, initial_h=h, weight_ih=np.zeros((3, 1), np.float32), weight_hh=weight_hh, bias=bias)

    found = evaluated(build, {"x": torch.zeros(1, 1, 1), "h": torch.tensor([[0.8]])})
    check(found, [torch.tanh(torch.tensor([[[0.8]]])), torch.tanh(torch.tensor([[0.8]]))])


@FEW
@given(st.integers(0, 5), st.floats(-2, 2, width=32))
def test_loops_and_branches(rounds: int, start: float) -> None:
    x, n = torch.tensor([start]), torch.tensor([rounds], dtype=torch.int32)

    def build(x, n):
        def more(i, value):
            return mb.less(x=i, y=mb.squeeze(x=n, axes=[0]))

        def step(i, value):
            return mb.add(x=i, y=1), mb.add(x=mb.mul(x=value, y=2.0), y=1.0)

        _, looped = mb.while_loop(_cond=more, _body=step, loop_vars=(mb.const(val=0), x))
        positive = mb.squeeze(x=mb.greater(x=x, y=0.0), axes=[0])
        chosen = mb.cond(pred=positive, _true_fn=lambda: mb.add(x=x, y=10.0), _false_fn=lambda: mb.sub(x=0.0, y=x))
        return looped, chosen

    value = x.clone()
    for _ in range(rounds):
        value = value * 2 + 1
    check(evaluated(build, {"x": x, "n": n}), [value, x + 10 if start > 0 else -x])


def test_lists_of_tensors() -> None:
    x = uniform((3, 2), -1, 1)

    def build(x):
        items = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(2,))
        row = [mb.slice_by_index(x=x, begin=[i, 0], end=[0, 0], end_mask=[False, True], squeeze_mask=[True, False])
               for i in range(3)]  # fmt: skip
        items = mb.list_write(ls=items, index=1, value=row[0])
        items = mb.list_scatter(ls=items, indices=[2, 3], value=mb.stack(values=[row[1], row[2]], axis=0))
        return [mb.list_read(ls=items, index=1), mb.list_gather(ls=items, indices=[3, 0, 2]), mb.list_length(ls=items)]

    check(evaluated(build, {"x": x}), [x[0], torch.stack([x[2], torch.zeros(2), x[1]]), torch.tensor(4)])


class Counter(torch.nn.Module):
    """Adds what it is given to what it has seen so far."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3, dtype=torch.float16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 2


def test_a_stateful_package_remembers_what_torch_does(tmp_path: Path) -> None:
    with silence(lambda _stage: None):
        program = torch.export.export(Counter(), (torch.zeros(3, dtype=torch.float16),)).run_decompositions({})
        ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18, skip_model_load=True,
                   package_dir=str(tmp_path / "m.mlpackage"))  # fmt: skip
    evaluator, module = Evaluator(Package(tmp_path / "m.mlpackage")), Counter()
    states = evaluator.states()
    assert list(states) == ["total"]
    for step in range(3):
        x = torch.full((3,), step + 0.5, dtype=torch.float16)
        (found,) = evaluator.run({"x": x}, states).values()
        assert torch.equal(found, module(x))
    (fresh,) = evaluator.run({"x": torch.ones(3, dtype=torch.float16)}).values()
    assert torch.equal(fresh, torch.full((3,), 2.0, dtype=torch.float16)), "each prediction alone begins with zeros"


def test_a_loop_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial.verify.coreml.evaluator.MOST_ROUNDS", 5)

    def build(x):
        return mb.while_loop(_cond=lambda v: mb.squeeze(x=mb.greater(x=v, y=0.0), axes=[0]),
                             _body=lambda v: mb.add(x=v, y=1.0), loop_vars=(x,))  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        evaluator = Evaluator(Package(saved(build, {"x": torch.ones(1)}, Path(folder))))
        with pytest.raises(EvaluationError, match="went round 5 times without an end"):
            evaluator.run({"x": torch.ones(1)})
