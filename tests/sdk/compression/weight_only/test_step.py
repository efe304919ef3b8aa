"""The step `quantize_weights`, from a model to ONNX Runtime: the same numbers, in half a byte each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.recipe import Recipe
from seatrial.compression.weight_only.layers import WeightOnlyEmbedding, WeightOnlyLinear
from seatrial.compression.weight_only.quantize import stages_of
from seatrial.compression.weight_only.settings import QuantizeWeights
from seatrial.exporters.host import HostSession
from seatrial.exporters.onnx_nbits import pack_weight, pack_zero_points
from seatrial.source import ModelSource
from seatrial_targets.errors import ConfigError, ExportError, ModelError, UnknownNameError, UserError


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 96)
        self.down = nn.Linear(96, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Texts(nn.Module):
    """A table of embeddings, two blocks, a head tied to the table, and a layer whose inputs no group divides."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(300, 64)
        self.layers = nn.ModuleList([Block(64), Block(64)])
        self.odd = nn.Linear(10, 64)
        self.head = nn.Linear(64, 300, bias=False)
        self.head.weight = self.table.weight

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x + self.odd(x[..., :10]))


def source(**fields: Any) -> ModelSource:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(0, 300, (1, 12), generator=generator) for _ in range(40)]
    values = {"example_inputs": {"input_ids": texts[0]}, "calibration": [(each,) for each in texts[:24]]}
    values |= {"checks": [(each,) for each in texts[24:]], "name": "texts", **fields}
    return ModelSource(values.pop("module", None) or Texts().eval(), **values)


@pytest.mark.parametrize(("bits", "symmetric", "least_db"), [(4, False, 14.0), (8, True, 38.0)])
def test_onnx_runtime_computes_what_torch_does_in_fewer_bits(
    tmp_path: Path, bits: Any, symmetric: bool, least_db: float
) -> None:
    made = seatrial.compress(source(), [QuantizeWeights(bits=bits, symmetric=symmetric)], tmp_path / "small.pt2")
    (step,) = made.record.steps
    assert step.after.quality["sqnr_db"] > least_db
    assert step.after.parameters == step.before.parameters + 300 * 64  # the tie is undone: table and head differ now
    assert isinstance(made.source.module.head, WeightOnlyLinear)
    assert isinstance(made.source.module.table, WeightOnlyEmbedding)
    assert step.details["left_in_float"] == ["odd"]
    bundle = seatrial.export(str(tmp_path / "small.pt2"), "x86-64-cpu-fp32", tmp_path)
    assert bundle.manifest.precision_summary == {f"int{bits}": 5, "float32": 1}
    # MatMulNBits rounds activations to INT8 within each group, so it is near, not equal
    assert bundle.manifest.parity["sqnr_db"] > 33
    model = onnx.load(bundle.path / "model.onnx")
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert stored["layers.0.up.weight_packed"].nbytes == 96 * 64 * bits // 8
    assert {each.domain for each in model.opset_import} == {"", "com.microsoft"}


def test_gptq_is_nearer_than_rounding_to_the_nearest() -> None:
    quality = {
        method: seatrial.compress(source(), [QuantizeWeights(method=method)]).record.steps[0].after.quality["sqnr_db"]
        for method in ("rtn", "gptq")
    }
    assert quality["gptq"] > quality["rtn"] + 0.5


def test_auto_says_what_it_did() -> None:
    without = seatrial.compress(source(calibration=None), [QuantizeWeights()]).record.steps[0]
    assert any("rounded to the nearest" in note for note in without.notes)
    assert any("with some, GPTQ loses less" in note for note in without.notes)
    with_data = seatrial.compress(source(), [QuantizeWeights()]).record.steps[0]
    assert any("GPTQ on 24 calibration samples" in note for note in with_data.notes)
    assert set(with_data.details["layers"]["head"]) == {"relative_error", "output_error"}
    with pytest.raises(ModelError, match="needs `calibration` of the model source"):
        seatrial.compress(source(calibration=None), [QuantizeWeights(method="gptq")])


def test_layers_are_chosen_by_their_paths() -> None:
    made = seatrial.compress(source(), [QuantizeWeights(layers=("layers.**",), skip=("layers.*.down",), method="rtn")])
    kinds = {name: type(each).__name__ for name, each in made.source.module.named_modules()}
    assert [name for name, kind in kinds.items() if kind == "WeightOnlyLinear"] == ["layers.0.up", "layers.1.up"]
    with pytest.raises(UnknownNameError, match="did you mean 'head'"):
        seatrial.compress(source(), [QuantizeWeights(skip=("haed",))])
    with pytest.raises(UserError, match="no linear layer is left"):
        seatrial.compress(source(), [QuantizeWeights(layers=("head",), skip=("head",))])


def test_transformers_own_linear_layer_is_one() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=300, n_positions=16, n_embd=32, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = transformers.GPT2LMHeadModel(config)

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, use_cache=False).logits

    made = seatrial.compress(source(module=Model().eval()), [QuantizeWeights(bits=8)])
    layer = made.source.module.model.transformer.h[0].attn.c_attn
    assert isinstance(layer, WeightOnlyLinear)
    assert (layer.in_features, layer.out_features) == (32, 96)
    assert made.record.steps[0].after.quality["sqnr_db"] > 35


def test_only_onnx_runtime_is_said_to_carry_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"target 'iphone-a17-fp16' can't carry it: .*reach ONNX Runtime alone"):
        seatrial.compress(source(), [QuantizeWeights()], targets=["iphone-a17-fp16"])
    made = seatrial.compress(source(), [QuantizeWeights(method="rtn")], tmp_path / "s.pt2")
    for given in (made.source, str(tmp_path / "s.pt2")):
        with pytest.raises(ExportError, match="quantized in groups, which coreml can't carry"):
            seatrial.export(given, "iphone-a17-fp16", tmp_path)


def test_a_model_is_quantized_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="works on a float model"):
        seatrial.compress(source(), [QuantizeWeights(), QuantizeWeights()])
    seatrial.compress(source(), [QuantizeWeights(method="rtn")], tmp_path / "s.pt2")
    with pytest.raises(UserError, match="works on a float model"):
        seatrial.compress(str(tmp_path / "s.pt2"), [QuantizeWeights()])


def test_weights_that_are_not_finite_are_named() -> None:
    module = Texts().eval()
    with torch.no_grad():
        module.layers[1].up.weight[3, 3] = torch.inf
    from seatrial.compression.state import CompressionState
    from seatrial.compression.weight_only.quantize import QuantizeWeightsStep

    with pytest.raises(ModelError, match=r"layer 'layers\.1\.up' has weights that are NaN or infinite"):
        QuantizeWeightsStep(QuantizeWeights(method="rtn")).apply(CompressionState.of(source(module=module)))


def test_what_no_product_reads_is_spelled_out(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(32, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.part(x)

    made = seatrial.compress(
        ModelSource(Odd().eval(), (torch.randn(2, 32),), name="odd"), [QuantizeWeights(method="rtn")]
    )

    class Twice(nn.Module):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            part = self.part
            restored = torch.ops.quantized_decomposed.dequantize_per_channel_group(
                part.weight, part.weight_scale, part.weight_zero_point, -8, 7, torch.int8, 32, torch.float32
            )
            return x * restored[:2]

    twice = Twice(made.source.module.part).eval()
    bundle = seatrial.export(ModelSource(twice, (torch.randn(2, 32),), name="twice"), "x86-64-cpu-fp32", tmp_path)
    assert bundle.manifest.parity["sqnr_db"] > 100
    assert {node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node} >= {"Sub", "Mul"}


def test_two_values_share_a_byte_the_first_below() -> None:
    weight = np.array([[-8, 7, 0, 1]], np.int8)
    assert pack_weight(weight, 4, 4).tolist() == [[[0xF0, 0x98]]]
    assert pack_weight(weight, 8, 4).tolist() == [[[120, 135, 128, 129]]]
    assert pack_zero_points(np.array([[0, -8, 7]], np.int32), 4).tolist() == [0x08, 0x0F]
    assert pack_zero_points(np.array([[0, -128]], np.int32), 8).tolist() == [128, 0]


def test_a_layer_by_itself_against_plain_arithmetic(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 5).eval()
    made = seatrial.compress(
        ModelSource(layer_in(layer), (torch.randn(3, 48),), name="one"), [QuantizeWeights(group_size=64, method="rtn")]
    ).source.module.only
    assert made.group_size == 16  # 64 and 32 do not divide 48
    groups = made.weight.reshape(5, 3, 16) - made.weight_zero_point[..., None]
    weight = (groups * made.weight_scale[..., None]).reshape(5, 48)
    x = torch.randn(3, 48)
    assert torch.allclose(made(x), x @ weight.T + layer.bias, atol=1e-5)


def layer_in(layer: nn.Module) -> nn.Module:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.only(x)

    return Holder().eval()


def test_stages_follow_the_blocks() -> None:
    paths = ["m.embed", "m.layer.0.q", "m.layer.0.k", "m.layer.1.q", "m.layer.10.q", "head"]
    assert stages_of(paths) == [
        ["m.embed"],
        ["m.layer.0.q", "m.layer.0.k"],
        ["m.layer.1.q"],
        ["m.layer.10.q"],
        ["head"],
    ]


def test_recipes_know_the_step() -> None:
    recipe = Recipe.loads("steps:\n  - quantize_weights: {bits: 4, group_size: 128}\n")
    assert recipe.steps[0] == QuantizeWeights(group_size=128)
    with pytest.raises(ConfigError, match=r"recipe:2:30: steps\[0\]\.quantize_weights\.bits: 5 is not one of 4, 8"):
        Recipe.loads("steps:\n  - quantize_weights: {bits: 5}\n")


def test_a_host_session_needs_no_torch_operator(tmp_path: Path) -> None:
    made = seatrial.compress(source(), [QuantizeWeights(method="rtn")])
    bundle = seatrial.export(made.source, "x86-64-cpu-fp32", tmp_path)
    session = HostSession(bundle.path / "model.onnx")
    ids = next(iter(source().checks))[0]
    found = next(iter(session.run({"input_ids": ids.numpy()}).values()))
    with torch.no_grad():
        expected = made.source.module(ids).numpy()
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


def test_layers_get_8_bits_until_the_quality_is_reached() -> None:
    plain = seatrial.compress(source(), [QuantizeWeights()]).record.steps[0]
    wanted = plain.after.quality["sqnr_db"] + 6
    made = seatrial.compress(source(), [QuantizeWeights(least_quality=wanted)])
    step = made.record.steps[0]
    raised = step.details["raised_to_8_bits"]
    bits = {name: each.bits for name, each in made.source.module.named_modules() if isinstance(each, WeightOnlyLinear)}
    assert 0 < len(raised) < len(bits)
    assert {name for name, each in bits.items() if each == 8} == set(raised)
    worst = max(plain.details["layers"], key=lambda path: plain.details["layers"][path]["output_error"])
    assert raised[0] == worst
    assert step.after.quality["sqnr_db"] > wanted - 1.5  # judged on calibration samples, reported on others
    assert (
        seatrial.compress(source(), [QuantizeWeights(least_quality=1.0)]).record.steps[0].details["raised_to_8_bits"]
        == []
    )
    with pytest.raises(UserError, match="least_quality: 120 dB is not reached with 8 bits everywhere"):
        seatrial.compress(source(), [QuantizeWeights(least_quality=120.0)])
    with pytest.raises(ConfigError, match="write bits: 4"):
        Recipe.loads("steps:\n  - quantize_weights: {bits: 8, least_quality: 20}\n")
