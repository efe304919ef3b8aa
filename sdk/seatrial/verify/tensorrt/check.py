"""NVIDIA's own parser and compiler (TensorRT-RTX, which needs no GPU for that) on an ONNX file."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import HarnessError, UserError
from seatrial_targets.profile import Shape, span

if TYPE_CHECKING:
    import onnx

SECONDS = 900.0
GENERATED = ("kgen", "constant")  # element-wise code around a multiplication
LATE = "runtime_fusion"  # what becomes of it is decided on the GPU
# What is counted, and what it is called.
WORDS = {
    "Conv": "convolutions",
    "ConvTranspose": "transposed convolutions",
    "Gemm": "gemms",
    "MatMul": "matrix products",
}
# What the check can't show, said beside every result.
LIMITS = (
    "shown by NVIDIA's current parser and compiler, TensorRT-RTX; not shown: what the parsers of TensorRT 8 and 10 take"
    ", how TensorRT on a board fuses, its kernels (RTX has no code for the GPUs of Orin and Thor), any latency"
)


@dataclass(frozen=True)
class Compiled:
    """What NVIDIA's compiler made of a model.

    ``errors`` are (node, reason); ``kinds`` the type that each multiplying node computes in, by its name: "int8",
    "float", "half", ... or "unknown" where the compiler's list does not name it; ``operators`` what each of them is.
    Both are empty when it was not built.
    """

    version: str
    built: bool
    errors: tuple[tuple[str, str], ...]
    kinds: dict[str, str]
    operators: dict[str, str] = field(default_factory=dict)

    def in_int8(self) -> tuple[str, ...]:
        """Return the names of the nodes that run in INT8."""
        return tuple(name for name, kind in self.kinds.items() if kind == "int8")

    def share(self) -> str:
        """Say how many run in INT8, and name up to eight that don't: "20 of 20 convolutions and 1 of 1 gemms ..."."""
        counts = []
        for word in dict.fromkeys(WORDS[op] for op in self.operators.values()):
            mine = [name for name, op in self.operators.items() if WORDS[op] == word]
            counts.append(f"{len(set(mine) & set(self.in_int8()))} of {len(mine)} {word}")
        text = f"{' and '.join(counts) or 'no convolution or matrix product'} run in INT8"
        outside = [f"{name} ({kind})" for name, kind in self.kinds.items() if kind != "int8"]
        if not self.in_int8() or not outside:
            return text
        return f"{text}; not: {', '.join(outside[:8])}{' ...' if len(outside) > 8 else ''}"


def check(model: onnx.ModelProto, shapes: dict[str, Shape] | None = None, seconds: float = SECONDS) -> Compiled:
    """Parse and build ``model`` with TensorRT-RTX in a process of its own.

    ``shapes`` gives the ranges of dynamic inputs. Raises UserError when the extra is not installed, HarnessError when
    the process dies or takes more than ``seconds``; a model that NVIDIA rejects is a result, not an error.
    """
    if importlib.util.find_spec("tensorrt_rtx") is None:
        raise UserError("NVIDIA's parser is not installed; run: pip install 'seatrial[tensorrt-check]'")
    import onnx

    numbered = onnx.ModelProto()
    numbered.CopyFrom(model)
    names = _number(numbered)
    with tempfile.TemporaryDirectory(prefix="seatrial-trt-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(numbered, str(path), save_as_external_data=numbered.ByteSize() > 1 << 30)
        found = _probe(
            path, {name: [list(each) for each in span(shape)] for name, shape in (shapes or {}).items()}, seconds
        )
    return _compiled(found, names, model)


def _number(model: onnx.ModelProto) -> dict[str, str]:
    """Name the nodes by number, so that any name survives NVIDIA's log. Returns number -> the name that was."""
    from ..onnx_graph import label

    names = {}
    for index, node in enumerate(model.graph.node):
        names[f"n{index}"] = label(node)
        node.name = f"n{index}"
    return names


def _probe(path: Path, shapes: dict[str, list[list[int]]], seconds: float) -> dict[str, Any]:
    program = Path(__file__).with_name("probe.py")
    command = [sys.executable, str(program), str(path), json.dumps(shapes)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"NVIDIA's compiler did not end within {seconds:.0f} s; the model was not checked") from None
    last = ended.stdout.strip().rpartition("\n")[2]
    if ended.returncode or not last.startswith("{"):
        how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit code {ended.returncode}"
        tail = " | ".join(ended.stderr.strip().splitlines()[-2:])[:400]
        raise HarnessError(f"NVIDIA's compiler died ({how}); the model was not checked. It said: {tail or 'nothing'}")
    found: dict[str, Any] = json.loads(last)
    return found


def _compiled(found: dict[str, Any], names: dict[str, str], model: onnx.ModelProto) -> Compiled:
    errors = tuple((names.get(e["node"], e["node"]), " ".join(e["reason"].split())) for e in found["errors"])
    counted = {f"n{i}": node.op_type for i, node in enumerate(model.graph.node) if node.op_type in WORDS}
    counted = counted if found["built"] else {}
    kinds = {names[number]: _kind(number, found["layers"]) for number in counted}
    operators = {names[number]: op for number, op in counted.items()}
    return Compiled(str(found["version"]), bool(found["built"]), errors, kinds, operators)


def _kind(number: str, layers: list[dict[str, Any]]) -> str:
    """Return the type in which a node computes: INT8 only if its activation and its weight enter as such."""
    mine = [layer for layer in layers if number in layer["nodes"]]
    multiplying = [layer for layer in mine if layer["kind"] not in GENERATED] or mine
    if any(layer["kind"] == LATE for layer in multiplying):
        return "unknown"
    if any(layer["types"].count("Int8") >= 2 and "Int8" in layer["inputs"] for layer in multiplying):
        return "int8"
    return next((t.lower() for layer in multiplying for t in layer["inputs"] if t != "Int8"), "unknown")
