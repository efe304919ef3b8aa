"""An ML program as plain data: functions, blocks and operations, read from the saved protobuf as it is.

coremltools has a loader of its own, which rebuilds the program and infers its types anew. This one does not: what the
file declares is what the results are held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .types import ValueType, value_type


@dataclass(frozen=True)
class Output:
    """A value that an operation or block yields: its name and declared type."""

    name: str
    type: ValueType


@dataclass(frozen=True)
class Literal:
    """A value written into the program. ``proto`` is decoded when it is first used (weights are large)."""

    type: ValueType
    proto: Any = field(repr=False)


@dataclass(frozen=True)
class Operation:
    """One operation. ``inputs`` maps a parameter to the names of values, or literals, bound to it; ``attributes``
    hold what older constexpr forms keep there."""

    type: str
    name: str
    inputs: dict[str, tuple[str | Literal, ...]]
    outputs: tuple[Output, ...]
    attributes: dict[str, Literal]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Block:
    """A sequence of operations; ``results`` names the values that it yields."""

    inputs: tuple[Output, ...]
    operations: tuple[Operation, ...]
    results: tuple[str, ...]

    def walk(self) -> Iterator[Operation]:
        """Yield all operations, those of inner blocks after the one that holds them."""
        for operation in self.operations:
            yield operation
            for block in operation.blocks:
                yield from block.walk()


@dataclass(frozen=True)
class Function:
    """A function of a package, and the set of operations ('CoreML7') that it is written in."""

    inputs: tuple[Output, ...]
    opset: str
    block: Block

    def declared(self, name: str) -> ValueType | None:
        """Return the declared type of an input or of a value of the function's own block; None when there is none."""
        values = (*self.inputs, *(output for operation in self.block.operations for output in operation.outputs))
        return next((each.type for each in values if each.name == name), None)

    @property
    def ios(self) -> int:
        """The iOS version that knows this operation set: 15, 16, 17, 18 or 26."""
        return IOS_OF_OPSET.get(self.opset, 18)


IOS_OF_OPSET = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18, "CoreML9": 26}
# iOS version -> macOS version of the same Core ML. https://apple.github.io/coremltools/source/coremltools.target.html
MACOS_OF_IOS = {15: 12, 16: 13, 17: 14, 18: 15, 26: 26}


def read_function(proto: Any, names: Any) -> Function:
    """Return a MIL.proto Function as data. ``names`` is the proto's enumeration of data types."""
    inputs = tuple(Output(each.name, value_type(each.type, names)) for each in proto.inputs)
    return Function(inputs, proto.opset, _block(proto.block_specializations[proto.opset], names))


def _block(proto: Any, names: Any) -> Block:
    inputs = tuple(Output(each.name, value_type(each.type, names)) for each in proto.inputs)
    return Block(inputs, tuple(_operation(each, names) for each in proto.operations), tuple(proto.outputs))


def _operation(proto: Any, names: Any) -> Operation:
    attributes = {key: Literal(value_type(each.type, names), each) for key, each in proto.attributes.items()}
    outputs = tuple(Output(each.name, value_type(each.type, names)) for each in proto.outputs)
    return Operation(
        proto.type,
        _name(attributes.pop("name", None)) or (outputs[0].name if outputs else proto.type),
        {key: tuple(_binding(each, names) for each in argument.arguments) for key, argument in proto.inputs.items()},
        outputs,
        attributes,
        tuple(_block(each, names) for each in proto.blocks),
    )


def _binding(proto: Any, names: Any) -> str | Literal:
    if proto.WhichOneof("binding") == "name":
        return str(proto.name)
    return Literal(value_type(proto.value.type, names), proto.value)


def _name(literal: Literal | None) -> str:
    values = literal.proto.immediateValue.tensor.strings.values if literal else ()
    return str(values[0]) if values else ""
