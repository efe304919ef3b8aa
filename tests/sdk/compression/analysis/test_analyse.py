"""An analysis: figures that can be counted by hand, the layer that hurts, the same for a quantized file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import seatrial
from seatrial.cli import cli
from seatrial.compression.analysis.plot import analysis_svg
from seatrial.compression.quantization.settings import Quantize
from seatrial.source import ModelSource
from seatrial_targets.errors import UserError

Source = Callable[..., ModelSource]


def hurt(source: Source) -> ModelSource:
    """One weight of conv2 is so large that all the others of its channel round to nothing."""
    given = source()
    with torch.no_grad():
        given.module.conv2.weight[:, 0, 0, 0] = 40.0
    return given


def test_figures_of_layers(source: Source) -> None:
    found = seatrial.analyze(source())
    assert [each.path for each in found.layers] == ["conv1", "conv2", "head"]
    conv1, conv2, head = found.layers
    assert (conv1.macs, conv2.macs, head.macs) == (64 * 27 * 16, 64 * 144 * 16, 80)
    assert found.macs == conv1.macs + conv2.macs + head.macs
    assert conv1.parameters == 27 * 16 + 16  # with the bias that its batch norm became
    assert (head.size_bytes, head.weight_shape, head.kind) == (4 * 85, (5, 16), "Linear")
    assert sum(each.noise_share or 0 for each in found.layers) == pytest.approx(1)
    assert found.quantized == "emulated"
    assert found.sqnr_db is not None
    assert found.sqnr_db == pytest.approx(head.output_sqnr_db or 0)


def test_the_layer_that_hurts_is_named(source: Source) -> None:
    found = seatrial.analyze(hurt(source))
    assert found.hurting == ("conv2",)
    by_path = {each.path: each for each in found.layers}
    assert (by_path["conv2"].weight_sqnr_db or 0) > 30  # the large weight hides it there
    assert (by_path["conv2"].alone_sqnr_db or 0) < (by_path["conv1"].alone_sqnr_db or 0) - 10
    assert (by_path["head"].output_sqnr_db or 0) < (by_path["conv1"].output_sqnr_db or 0)


def test_a_quantized_file_is_held_against_what_it_was_made_from(source: Source, tmp_path: Path) -> None:
    given = hurt(source)
    seatrial.compress(given, [Quantize(keep_float=("conv2",))], tmp_path / "small.pt2")
    with pytest.raises(UserError, match="name that, with --data"):
        seatrial.analyze(str(tmp_path / "small.pt2"))
    found = seatrial.analyze(str(tmp_path / "small.pt2"), data=given)
    assert found.quantized == "as given"
    plain = {each.path: each.output_sqnr_db or 0 for each in seatrial.analyze(given).layers}
    kept = {each.path: each.output_sqnr_db or 0 for each in found.layers}
    assert kept.keys() == plain.keys()
    assert kept["conv1"] == pytest.approx(plain["conv1"], abs=3)
    assert kept["head"] > plain["head"] + 5


def test_without_calibration_it_says_on_what(source: Source) -> None:
    found = seatrial.analyze(source(calibration=None))
    assert found.samples == 1
    assert "example inputs alone" in found.notes[0]


def test_the_drawing_names_every_layer(source: Source) -> None:
    found = seatrial.analyze(hurt(source))
    root = ElementTree.fromstring(analysis_svg(found))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"conv1", "conv2", "head"} <= set(texts)
    dots = [each.get("fill") for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots == ["#336", "#b33", "#336"]


MODEL = """
def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return {"module": net, "example_inputs": X, "calibration": [X, X + 1]}
"""


def test_the_command_writes_table_json_and_plot(
    model_file: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_file(MODEL)
    out, plot = tmp_path / "a.json", tmp_path / "a.svg"
    words = ["analyze", f"{path}:build", "--out", str(out), "--plot", str(plot)]
    assert cli.main(words, standalone_mode=False) == 0
    told = capsys.readouterr().out
    assert "half of the noise comes from" in told
    assert json.loads(out.read_text())["layers"][0]["path"] == "0"
    assert plot.read_text().startswith("<svg")
    assert cli.main([*words[:2], "--json"], standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "seatrial.analysis/1"
