"""The types of a model's inputs and outputs, as TensorRT has them at the ends of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

from ..host import Arrays, HostSession

if TYPE_CHECKING:
    import onnx

INT32, INT64, DOUBLE = 6, 7, 11
ALLOWED = {1: "float32", 10: "float16", 3: "int8", 2: "uint8", INT32: "int32", INT64: "int64", 9: "bool"}
INT64_SINCE = (10,)  # before, the parser turns int64 into int32, at the ends of the engine, too


def require_types(model: onnx.ModelProto) -> None:
    """Raise ExportError when an input or output is of a type that an engine can't have."""
    import onnx

    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for each in values:
            found = each.type.tensor_type.elem_type
            if found not in ALLOWED:
                name = str(onnx.TensorProto.DataType.Name(found)).lower().replace("double", "float64")
                advice = "convert the model and its inputs with .float()" if found == DOUBLE else "convert it outside"
                known = ", ".join(ALLOWED.values())
                raise ExportError(f"{kind} {each.name!r} is {name}; TensorRT's engines take and give {known}: {advice}")


def narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of ``model`` whose int64 inputs and outputs are int32, with Casts behind and before them."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    wide = {each.name for each in (*made.graph.input, *made.graph.output) if _kind(each) == INT64}
    for node in made.graph.node:
        node.input[:] = [f"{name}_int64" if name in wide else name for name in node.input]
        node.output[:] = [f"{name}_int64" if name in wide else name for name in node.output]
    before = [_cast(each.name, f"{each.name}_int64", INT64) for each in made.graph.input if each.name in wide]
    behind = [_cast(f"{each.name}_int64", each.name, INT32) for each in made.graph.output if each.name in wide]
    nodes = [*before, *made.graph.node, *behind]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(kept)
    for each in (*made.graph.input, *made.graph.output):
        if each.name in wide:
            each.type.tensor_type.elem_type = INT32
    return made


class EndsSession:
    """The exported file on this host, given the model's own arrays: they are converted as its inputs want them."""

    def __init__(self, model: onnx.ModelProto, data: bytes) -> None:
        self._session = HostSession(data, optimization="none")
        self._types = {each.name: _kind(each) for each in model.graph.input}

    def given(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return arrays as the engine takes them. Raises ExportError for an integer that int32 does not hold."""
        return {name: _as_int32(name, np.asarray(v)) if self._is_narrow(name, v) else v for name, v in inputs.items()}

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return the outputs for one sample, both by name."""
        return self._session.run(self.given(inputs))

    def described(self) -> tuple[dict[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]:
        """Return the shapes of inputs and outputs by name; a dimension that varies has a name."""
        return self._session.described()

    def _is_narrow(self, name: str, value: Any) -> bool:
        return self._types.get(name) == INT32 and np.asarray(value).dtype == np.int64


def _as_int32(name: str, value: Any) -> Any:
    limits = np.iinfo(np.int32)
    if value.size and (value.min() < limits.min or value.max() > limits.max):
        raise ExportError(f"input {name!r} holds {value.max()}, and TensorRT 8 has no integers beyond int32")
    return value.astype(np.int32)


def _kind(value: Any) -> int:
    return int(value.type.tensor_type.elem_type)


def _cast(source: str, made: str, kind: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [made], to=kind, name=f"{made}/Cast")
