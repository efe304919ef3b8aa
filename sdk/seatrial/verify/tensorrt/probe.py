"""Parse and build one ONNX file, print what NVIDIA's compiler made of it. Run by `check` in a process that may die.

    python probe.py FILE.onnx '{"x": [[1, 3, 8, 8], [1, 3, 16, 16], [1, 3, 32, 32]]}'

Imports nothing but TensorRT-RTX, which has no effect on the caller even when it crashes. Prints one JSON object as
the last line of stdout.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import tensorrt_rtx as trt

# Comes with every real error on a machine without a driver, and means nothing there.
SPURIOUS = re.compile(r"checkMacros\.cpp|CUDA driver version is insufficient|cudaError 35")


class Kept(trt.ILogger):  # type: ignore[misc]
    """A logger that keeps what it is told: the layer list is only ever logged."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.lines: list[tuple[str, str]] = []

    def log(self, severity: Any, message: str) -> None:
        """Keep a line with the name of its severity."""
        self.lines.append((str(severity).rpartition(".")[2], message))


def main(path: str, shapes: dict[str, list[list[int]]]) -> dict[str, Any]:
    """Return version, whether it parsed and was built, errors and compiled layers."""
    log = Kept()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    found: dict[str, Any] = {"version": trt.__version__, "parsed": parser.parse_from_file(path), "built": False}
    found["errors"] = [_error(parser.get_error(i)) for i in range(parser.num_errors)]
    if found["parsed"]:
        found["built"] = _build(builder, network, shapes)
    said = [m for severity, m in log.lines if severity in ("ERROR", "INTERNAL_ERROR") and not SPURIOUS.search(m)]
    if not found["built"] and not found["errors"]:
        found["errors"] = [{"node": "", "op": "", "reason": text} for text in said[:5]]
    found["layers"] = [layer for severity, text in log.lines if severity == "VERBOSE" for layer in _layers(text)]
    return found


def _error(error: Any) -> dict[str, str]:
    lines = [line for line in error.desc().splitlines() if not SPURIOUS.search(line) and "Invalid Node" not in line]
    reason = " ".join(" ".join(lines).split())
    if reason in ("", "false"):  # the parser asserts `false` where it has no importer
        reason = f"the parser does not know {error.node_operator() or 'an operator'}"
    return {"node": error.node_name(), "op": error.node_operator(), "reason": reason}


def _build(builder: Any, network: Any, shapes: dict[str, list[list[int]]]) -> bool:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if shapes:
        profile = builder.create_optimization_profile()
        for name, (least, best, most) in shapes.items():
            profile.set_shape(name, least, best, most)
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config) is not None


def _layers(text: str) -> list[dict[str, Any]]:
    """Read the log's list of layers: name, kind, types of its inputs, the ONNX nodes that went into it."""
    if not text.startswith("Layers:"):
        return []
    found = []
    for line in text.splitlines()[1:]:
        head = re.match(r"Name: (.*?), LayerType: (\w+), Inputs: \[(.*?)\](?:, Constants| ?, Outputs)", line)
        if head:
            read = line.partition(", Outputs: [")[0]
            nodes = re.findall(r"\[ONNX Layer: (.*?)\]", line.rpartition("Metadata:")[2])
            inputs = re.findall(r"Datatype: (\w+)", read.partition(", Constants: [")[0])
            found.append(
                {"kind": head[2], "inputs": inputs, "types": re.findall(r"Datatype: (\w+)", read), "nodes": nodes}
            )
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
