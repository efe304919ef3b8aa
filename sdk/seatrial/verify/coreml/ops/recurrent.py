"""Recurrent layers, step by step: x is [sequence, batch, features].

The order of the gates' rows and the formulas are coremltools' (ops/defs/iOS15/recurrent.py). For gru, whose formula
there can be read in two ways, its tests on a Mac decide: without reset_after the reset gate is applied to the state
before the product. They also say that ``reverse`` gives the states in the order in which they were computed, the last
step of x first; the backward half of a bidirectional layer is in the order of x.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..call import Call, Implementation

Activation = Callable[[torch.Tensor], torch.Tensor]
_ACTIVATIONS: dict[str, Activation] = {
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "linear": lambda x: x,
    "relu": torch.relu,
    "scaled_tanh": torch.tanh,  # whose scales are 1 unless set, which this operation can't
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def _activation(call: Call, name: str, default: str) -> Activation:
    wanted = call.text(name, default).lower()
    if wanted not in _ACTIVATIONS:
        raise call.error(f"has the {name} {wanted!r}, which is none")
    return _ACTIVATIONS[wanted]


def _stored(call: Call) -> Activation:
    """The state is stored between steps as x is."""
    dtype = call.value("x").dtype
    return lambda x: x.to(dtype).float()


def _lstm(call: Call) -> tuple[torch.Tensor, ...]:
    x, h, c = call.tensor("x"), call.tensor("initial_h"), call.tensor("initial_c")
    direction, size = call.text("direction", "forward"), call.tensor("weight_hh").shape[1]
    if direction != "bidirectional":
        return _ended(call, *_lstm_one(call, _turned(call, x), h, c, ""))
    states, *last = _lstm_one(call, x, h[:, :size], c[:, :size], "")
    backward, *back = _lstm_one(call, x.flip(0), h[:, size:], c[:, size:], "_back")
    joined = [torch.cat(pair, -1) for pair in zip(last, back, strict=True)]
    return _ended(call, torch.cat([states, backward.flip(0)], -1), *joined)


def _lstm_one(
    call: Call, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, suffix: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the states of all steps, the last state, the last cell; the gates' rows: i, f, o, z."""
    weight_ih, weight_hh = call.tensor(f"weight_ih{suffix}"), call.tensor(f"weight_hh{suffix}")
    bias, peephole = call.maybe(f"bias{suffix}"), call.maybe(f"peephole{suffix}")
    gate, cell = _activation(call, "recurrent_activation", "sigmoid"), _activation(call, "cell_activation", "tanh")
    out, stored = _activation(call, "activation", "tanh"), _stored(call)
    seen = (0.0, 0.0, 0.0) if peephole is None else peephole.chunk(3)
    limit = call.number("clip") if call.has("clip") else None
    inputs = x @ weight_ih.T + (0 if bias is None else bias)
    states = []
    for step in inputs:
        i, f, o, z = (step + h @ weight_hh.T).chunk(4, -1)
        c = gate(f + c * seen[1]) * c + gate(i + c * seen[0]) * cell(z)
        c = stored(c if limit is None else c.clamp(-limit, limit))
        h = stored(gate(o + c * seen[2]) * out(c))
        states.append(h)
    return torch.stack(states), h, c


def _gru(call: Call) -> tuple[torch.Tensor, ...]:
    x, h = _turned(call, call.tensor("x")), call.tensor("initial_h")
    weight_ih, weight_hh = call.tensor("weight_ih"), call.tensor("weight_hh")
    gate, out = _activation(call, "recurrent_activation", "sigmoid"), _activation(call, "activation", "tanh")
    after, stored = call.flag("reset_after", False), _stored(call)
    bias, input_bias = call.maybe("bias"), call.maybe("input_bias")
    size = weight_hh.shape[1]
    hidden_bias = weight_hh.new_zeros(3 * size) if bias is None else bias
    inputs = x @ weight_ih.T + (0 if input_bias is None else input_bias)
    states = []
    for step in inputs:
        in_r, in_o, in_z = step.chunk(3, -1)
        (w_r, w_o, w_z), (b_r, b_o, b_z) = weight_hh.chunk(3), hidden_bias.chunk(3)
        r, z = gate(in_r + h @ w_r.T + b_r), gate(in_z + h @ w_z.T + b_z)
        o = out(in_o + (r * (h @ w_o.T + b_o) if after else (r * h) @ w_o.T + b_o))
        h = stored((1 - z) * o + z * h)
        states.append(h)
    return _ended(call, torch.stack(states), h)


def _rnn(call: Call) -> tuple[torch.Tensor, ...]:
    x, h = _turned(call, call.tensor("x")), call.tensor("initial_h")
    weight_hh, bias = call.tensor("weight_hh"), call.maybe("bias")
    out, stored = _activation(call, "activation", "tanh"), _stored(call)
    inputs = x @ call.tensor("weight_ih").T + (0 if bias is None else bias)
    states = []
    for step in inputs:
        h = stored(out(step + h @ weight_hh.T))
        states.append(h)
    return _ended(call, torch.stack(states), h)


def _turned(call: Call, x: torch.Tensor) -> torch.Tensor:
    """Return x as it is read: from its end when the direction is reverse."""
    return x.flip(0) if call.text("direction", "forward") == "reverse" else x


def _ended(call: Call, states: torch.Tensor, *last: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return all states, or the last one alone when the sequence is not wanted."""
    return (states if call.flag("output_sequence", False) else last[0].unsqueeze(0), *last)


OPS: dict[str, Implementation] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
