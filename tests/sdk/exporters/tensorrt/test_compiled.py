"""What NVIDIA's compiler makes of the exported files: every quantized layer must run in INT8."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from seatrial.exporters import export
from seatrial_runner.bundle import Bundle

from .conftest import Opened, opened
from .models import Residual, source, target

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _compiler() -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        if os.environ.get("SEATRIAL_REQUIRE_LAB"):
            pytest.fail("NVIDIA's parser is not installed: pip install -e '.[tensorrt-check]'")
        pytest.skip("NVIDIA's parser is not installed: pip install -e '.[tensorrt-check]'")


class Detector(nn.Module):
    """SiLU, pools side by side, upsampling, joins, an odd number of output channels: a small YOLO."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.norm, self.b = (
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.Conv2d(16, 32, 3, 2, 1),
        )
        self.pool, self.c, self.d = nn.MaxPool2d(5, 1, 2), nn.Conv2d(96, 32, 1), nn.Conv2d(48, 32, 3, 1, 1)
        self.out = nn.Conv2d(32, 85, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.silu(self.norm(self.a(x)))
        b = functional.silu(self.b(a))
        first = self.pool(b)
        b = functional.silu(self.c(torch.cat([b, first, self.pool(first)], 1)))
        joined = torch.cat([functional.interpolate(b, scale_factor=2.0, mode="nearest"), a], 1)
        return self.out(functional.silu(self.d(joined))).flatten(2).transpose(1, 2).sigmoid()


class Gated(nn.Module):
    """Depthwise convolutions, hard swish, squeeze and excitation: a small MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.expand = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 32, 1)
        self.deep, self.project = nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.Conv2d(32, 16, 1)
        self.squeeze, self.excite, self.head = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.hardswish(self.stem(x))
        y = functional.hardswish(self.deep(functional.hardswish(self.expand(x))))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return self.head((x + self.project(y * gate)).mean((2, 3)))


class Attention(nn.Module):
    """Layer norms, attention, GELU, two residuals: one block of a transformer over patches."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.first, self.second = nn.Conv2d(3, width, 4, 4), nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.head = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, t, d = x.shape
        q, k, v = self.qkv(self.first(x)).reshape(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        x = x + self.project(mixed)
        return self.head((x + self.down(functional.gelu(self.up(self.second(x))))).mean(1))


def judged(bundle: Bundle) -> dict[str, str]:
    """The type of each layer by NVIDIA's compiler, in a bundle that nothing is to be said against."""
    checks = json.loads(bundle.file("checks.json").read_bytes())
    assert checks["compiled"]["built"], checks["compiled"]["errors"]
    assert [f for f in checks["findings"] if f["severity"] != "hint"] == []
    return dict(checks["compiled"]["kinds"])


def compiled(tmp_path: Path, module: nn.Module, profile: Any) -> tuple[Bundle, dict[str, str]]:
    bundle = Bundle.open(export(source(module), profile, tmp_path))
    return bundle, judged(bundle)


@pytest.mark.parametrize("module", [Residual, Detector, Gated, Attention])
def test_all_layers_with_weights_run_in_int8(tmp_path: Path, module: type[nn.Module]) -> None:
    bundle, kinds = compiled(tmp_path, module(), target("jetson-orin-nano-int8"))
    expected = {each["name"] for each in json.loads(bundle.file("layers.json").read_bytes())["layers"]}
    assert {name for name, kind in kinds.items() if kind == "int8"} == expected
    assert len(expected) == bundle.manifest.precision_summary["int8"]
    others = set(kinds.values()) - {"int8"}
    assert others == ({"half"} if module is Attention else set()), "products of two activations stay in float16"


@pytest.mark.parametrize(
    ("name", "kind"), [("int8 for 10", "int8"), ("int8 and fp32", "int8"), ("fp16", "half"), ("fp32", "float")]
)
def test_every_form_is_built_as_what_it_says(bundle_of: Callable[[str], Opened], name: str, kind: str) -> None:
    assert set(judged(bundle_of(name)[0]).values()) == {kind}


def test_dynamic_shapes_become_profiles_and_are_built_and_right_at_their_ends(tmp_path: Path) -> None:
    shapes = {"x": {"min": [1, 3, 16, 16], "opt": [2, 3, 16, 16], "max": [4, 3, 32, 16]}}
    bundle, kinds = compiled(tmp_path, Residual(), target(shapes=shapes))
    assert set(kinds.values()) == {"int8"}
    build = opened(bundle.path)[2]
    assert {name: each.model_dump() for name, each in build.profiles.items()} == {
        "x": {"min": (1, 3, 16, 16), "opt": (2, 3, 16, 16), "max": (4, 3, 32, 16)}
    }
    assert bundle.manifest.parity["corner_shapes_sqnr_db"] > 20
    assert "--maxShapes=x:4x3x32x16" in build.trtexec_flags((10, 3))


def test_layers_that_are_kept_out_by_target_or_source_do_not_run_in_int8(tmp_path: Path) -> None:
    made = source(Residual(), keep_float=["head"])
    bundle = Bundle.open(export(made, target(quantization={"keep_float": ["t*"]}), tmp_path))
    assert {n: k for n, k in judged(bundle).items() if k != "int8"} == {"two.0/Conv": "half", "head/Gemm": "half"}
    assert bundle.manifest.precision_summary == {"float16": 2, "int8": 3}
    assert opened(bundle.path)[2].kept_float == ("t*", "head")
    assert any("not quantized: two.0/Conv, head/Gemm (kept by you)" in note for note in bundle.manifest.notes)
