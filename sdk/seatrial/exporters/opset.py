"""Bring an ONNX model down to an older opset, where its operators existed there in another form.

torch writes opset 18 and later; the parsers of TensorRT 8.5 and 8.6 read 17, that of 8.2 reads 13. The converters of
onnx and onnxscript give up where an operator has merely gained types (Relu in 14) or moved an attribute to an input
(ReduceMean in 18), and leave attributes behind that the old operator has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .opset_forms import rewritten

if TYPE_CHECKING:
    import onnx

ONNX = ("", "ai.onnx")


class TooNewError(Exception):
    """An operator that has no such form in the opset asked for."""


def lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a copy of ``model`` at ``opset``. Raises TooNewError, which names the operator."""
    import onnx

    made = rewritten(model, opset)
    constants = {each.name: each for each in made.graph.initializer}
    for node in made.graph.node:
        if node.domain in ONNX:
            _lower(node, opset, constants)
    for each in made.opset_import:
        if each.domain in ONNX:
            each.version = opset
    _drop_unread(made)
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise TooNewError(f"the model is none of opset {opset}: {str(error).splitlines()[0]}") from error
    return made


def _lower(node: onnx.NodeProto, opset: int, constants: dict[str, Any]) -> None:
    import onnx

    if any(each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for each in node.attribute):
        raise TooNewError(f"{node.op_type} holds a graph of its own, and that is not converted")
    try:
        old = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise TooNewError(f"{node.op_type} is newer than opset {opset}") from None
    if node.op_type.startswith("Reduce") and "axes" in old.attributes:
        _axes_to_attribute(node, constants)
    if node.op_type == "Reshape" and _keeps_sizes(node, constants):
        _drop(node, "allowzero")
    _drop_defaults(node, old)
    if len([name for name in node.input if name]) > old.max_input:
        raise TooNewError(f"{node.op_type} has an input that it had not in opset {opset}")


def _axes_to_attribute(node: onnx.NodeProto, constants: dict[str, Any]) -> None:
    import onnx

    if len(node.input) < 2 or not node.input[1]:
        return
    if node.input[1] not in constants:
        raise TooNewError(f"{node.op_type} has computed axes")
    axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
    del node.input[1:]
    if axes:
        node.attribute.append(onnx.helper.make_attribute("axes", axes))


def _keeps_sizes(node: onnx.NodeProto, constants: dict[str, Any]) -> bool:
    """Whether no size that a Reshape states is 0, so that it does not matter what a 0 would mean."""
    import onnx

    shape = constants.get(node.input[1])
    return shape is None or 0 not in onnx.numpy_helper.to_array(shape)  # no computed size is 0: tensors have values


def _drop(node: onnx.NodeProto, name: str) -> None:
    for each in [each for each in node.attribute if each.name == name]:
        node.attribute.remove(each)


def _drop_defaults(node: onnx.NodeProto, old: Any) -> None:
    """Drop attributes that the old operator has not, if they say what it does anyway."""
    import onnx

    new = onnx.defs.get_schema(node.op_type, domain="")
    for each in [each for each in node.attribute if each.name not in old.attributes]:
        known = new.attributes.get(each.name)
        default = known.default_value if known is not None else None
        same = default is not None and default.name and _value(default) == _value(each)
        if not same and (node.op_type, each.name) not in (("Split", "num_outputs"),):  # equal parts are the default
            raise TooNewError(f"{node.op_type} has {each.name}={_value(each)}, which it had not in that opset")
        node.attribute.remove(each)


def _value(attribute: Any) -> Any:
    import onnx

    return onnx.helper.get_attribute_value(attribute)


def _drop_unread(model: onnx.ModelProto) -> None:
    read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
    kept = [each for each in model.graph.initializer if each.name in read]
    if len(kept) < len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
