"""Dynamic INT8: scales found while the model runs, integer products in ONNX Runtime, refused elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantized_program import is_dynamic, is_quantized
from seatrial.compression.recipe import Recipe
from seatrial.exporters.host import HostSession
from seatrial.source import ModelSource, load_source
from seatrial_targets.errors import ConfigError, UserError

Source = Callable[..., ModelSource]


def words(source: Source, **fields: Any) -> ModelSource:
    """Two linear layers over sequences, one over their mean; inputs whose range differs from sample to sample."""
    torch.manual_seed(0)

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(16, 32), nn.Linear(32, 16, bias=False), nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.second(torch.relu(self.first(x))).mean(1))

    samples = [torch.randn(1, 6, 16) * 10 ** (i % 3) for i in range(9)]
    given = {"module": Words().eval(), "example_inputs": samples[0], "calibration": None, "checks": samples}
    return source(**{**given, **fields})


def test_it_follows_the_range_of_each_sample(source: Source) -> None:
    made = seatrial.compress(words(source), [Quantize(scheme="dynamic")])
    assert made.record.steps[0].after.quality["sqnr_db"] > 35
    assert made.record.steps[0].notes == ("3 linear layers as dynamic INT8",)
    assert is_quantized(made.program)
    assert is_dynamic(made.program)
    assert made.record.steps[0].after.size_bytes < 0.45 * made.record.original.size_bytes


def test_products_are_integer_ones_in_onnx_runtime(source: Source, tmp_path: Path) -> None:
    given = words(source)
    made = seatrial.compress(given, [Quantize(scheme="dynamic")], tmp_path / "d.pt2")
    assert is_dynamic(load_source(str(tmp_path / "d.pt2")).program)  # type: ignore[arg-type]
    bundle = seatrial.export(str(tmp_path / "d.pt2"), "x86-64-cpu-int8-dynamic", tmp_path, data=given)
    model = onnx.load(bundle.file("model.onnx"))
    found = Counter(node.op_type for node in model.graph.node)
    assert (found["MatMulInteger"], found["MatMul"], found["Gemm"], found["QuantizeLinear"]) == (3, 0, 0, 0)
    assert bundle.manifest.precision_summary == {"int8": 3}
    path = tmp_path / "optimized.onnx"
    HostSession(model.SerializeToString(), save_as=path)
    assert Counter(node.op_type for node in onnx.load(path).graph.node)["DynamicQuantizeMatMul"] == 3
    x = torch.randn(1, 6, 16)
    (answer,) = HostSession(model.SerializeToString()).run({"x": x.numpy()}).values()
    expected = made.source.call({"x": x}).numpy()
    assert np.abs(answer - expected).max() < 0.02 * np.abs(expected).max()
    assert bundle.manifest.parity["sqnr_db"] == pytest.approx(made.record.steps[0].after.quality["sqnr_db"], abs=1)


class Tokens(nn.Module):
    """A table of embeddings and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(300, 16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(ids).mean(1))


def test_tables_of_embeddings_are_integers_too(source: Source, tmp_path: Path) -> None:
    samples = [torch.randint(0, 300, (1, 6)) for _ in range(4)]
    given = source(module=Tokens().eval(), example_inputs=samples[0], calibration=None, checks=samples)
    made = seatrial.compress(given, [Quantize(scheme="dynamic")], tmp_path / "d.pt2")
    assert made.record.steps[0].notes == ("1 linear layers as dynamic INT8", "1 tables of embeddings as INT8")
    assert made.program.state_dict["table.weight"].dtype == torch.int8
    bundle = seatrial.export(str(tmp_path / "d.pt2"), "x86-64-cpu-int8-dynamic", tmp_path, data=given)
    stored = {each.name: each.data_type for each in onnx.load(bundle.file("model.onnx")).graph.initializer}
    assert stored["table.weight"] == onnx.TensorProto.INT8
    assert bundle.manifest.parity["sqnr_db"] > 35
    for settings in (Quantize(scheme="dynamic", embeddings="float"), Quantize(scheme="dynamic", keep_float=("table",))):
        assert seatrial.compress(given, [settings]).program.state_dict["table.weight"].dtype == torch.float32


def test_convolutions_are_left_and_that_is_said(source: Source) -> None:
    made = seatrial.compress(source(), [Quantize(scheme="dynamic")])
    assert made.record.steps[0].details["layers"] == ["head"]
    assert "2 convolutions stay in float32" in made.record.steps[0].notes[1]


def test_other_runtimes_can_not_carry_it(source: Source) -> None:
    for target in ("jetson-orin-nano-int8", "iphone-a17-int8"):
        with pytest.raises(UserError, match=r"finds no scales while it runs, onnxruntime does; use scheme static"):
            seatrial.compress(source(), [Quantize(scheme="dynamic")], targets=[target])


def test_what_can_not_be(source: Source) -> None:
    with pytest.raises(UserError, match="nothing would be quantized: dynamic INT8 is for linear layers"):
        seatrial.compress(source(), [Quantize(scheme="dynamic", keep_float=("head",))])
    with pytest.raises(ConfigError, match="scheme dynamic looks at no data before: leave observer out"):
        Recipe.loads("steps:\n  - quantize: {scheme: dynamic, observer: mse}\n")
    with pytest.raises(ConfigError, match="embeddings is for scheme dynamic"):
        Recipe.loads("steps:\n  - quantize: {embeddings: float}\n")
