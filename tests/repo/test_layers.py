"""Imports run one way: seatrial_targets <- seatrial_runner <- seatrial_ci <- seatrial."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = {  # from the lowest: each may import those before it
    "seatrial_targets": ROOT / "targets" / "seatrial_targets",
    "seatrial_runner": ROOT / "device_runner" / "seatrial_runner",
    "seatrial_ci": ROOT / "ci" / "seatrial_ci",
    "seatrial": ROOT / "sdk" / "seatrial",
}
HEAVY = {"torch", "onnx", "onnxscript", "onnxruntime", "coremltools", "tensorrt"}
HOLD_TORCH = ("export", "verify", "demo", "compression", "huggingface")  # nothing else loads these
MOST_LINES = 500


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported(source: str, package: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the absolute names of all imports in ``source``, also those inside functions and type checks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


def wrong_imports(source: str, layer: str, package: tuple[str, ...]) -> list[str]:
    allowed = list(LAYERS)[: list(LAYERS).index(layer) + 1]
    roots = {name.partition(".")[0] for name in imported(source, package)}
    return sorted(root for root in roots if root in LAYERS and root not in allowed)


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_imports_only_those_below_it(layer: str) -> None:
    wrong = {}
    for path in modules(LAYERS[layer]):
        package = (layer, *path.parent.relative_to(LAYERS[layer]).parts)
        if found := wrong_imports(path.read_text(encoding="utf-8"), layer, package):
            wrong[str(path.relative_to(ROOT))] = found
    assert wrong == {}


def test_the_check_sees_an_import_that_runs_the_wrong_way() -> None:
    assert wrong_imports("def f():\n    from seatrial_ci.gate import judge\n", "seatrial_runner", ()) == ["seatrial_ci"]
    assert wrong_imports("from ..job import Job\n", "seatrial_runner", ("seatrial_runner", "agent")) == []
    assert wrong_imports("import seatrial.api\n", "seatrial_ci", ()) == ["seatrial"]


def top_level_imports(source: str) -> set[str]:
    """Return the root packages that importing a module loads: those of its body, not of functions or type checks."""
    body = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {name.partition(".")[0] for node in body for name in imported(ast.unparse(node))}


@pytest.mark.parametrize("layer", ["seatrial_targets", "seatrial_runner", "seatrial_ci"])
def test_below_the_sdk_nothing_imports_a_framework(layer: str) -> None:
    # What runs on a device uses what is there; tests/runner/agent/test_build.py says what that may be.
    here = [path for path in modules(LAYERS[layer]) if "portable" not in path.parts]
    loading = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in here
        if (found := {name.partition(".")[0] for name in imported(path.read_text("utf-8"), (layer,) * 9)} & HEAVY)
    }
    assert loading == {}


def test_the_sdk_imports_frameworks_only_inside_functions_or_in_export() -> None:
    loading = [
        str(path.relative_to(ROOT))
        for path in modules(LAYERS["seatrial"])
        if top_level_imports(path.read_text(encoding="utf-8")) & HEAVY
        and path.relative_to(LAYERS["seatrial"]).parts[0]
        not in ("export", "verify", "demo", "compression", "huggingface")
    ]
    assert loading == []


@pytest.mark.parametrize("layer", LAYERS)
def test_each_source_root_holds_one_package(layer: str) -> None:
    root = LAYERS[layer].parent
    strangers = [path.name for path in root.iterdir() if (path / "__init__.py").is_file() and path.name != layer]
    stray = [path.name for path in root.glob("*.py")]
    assert strangers == []
    assert stray == []
    assert (LAYERS[layer] / "py.typed").is_file()


def test_no_module_is_too_long() -> None:
    every = [path for folder in LAYERS.values() for path in modules(folder)] + modules(ROOT / "tests")
    long = {str(path.relative_to(ROOT)): n for path in every if (n := len(path.read_bytes().splitlines())) > MOST_LINES}
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    every = [path for folder in LAYERS.values() for path in modules(folder)]
    assert [path for path in every if {path.stem, path.parent.name} & {"utils", "helpers", "common", "manager"}] == []
