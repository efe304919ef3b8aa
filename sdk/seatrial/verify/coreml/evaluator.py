"""A MIL evaluator: executes a saved ML program operation by operation, in torch, on any machine.

Each operation computes in float32 and its result is rounded to the type that the program declares, float16 as a rule:
that is what Core ML's storage does to a value between two operations. What it says: whether the exported *file* means
what the torch model means. What it can't say: how the neural engine or a GPU rounds inside an operation, where an
operation runs, whether the package loads, how long it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from seatrial_targets.errors import EvaluationError, UnsupportedOpError

from .call import Call
from .ops import BUILT_IN, implementations
from .package import Package
from .program import Block, Literal, Operation, Output
from .types import FLOATS, TORCH

Observer = Callable[[Operation, Output, torch.Tensor, torch.Tensor], torch.Tensor | None]
"""Called with each value of an operation: as computed in float32, and as stored. What it returns is stored instead."""

Environment = dict[str, Any]
MOST_ROUNDS = 100_000  # of a loop: a condition that never fails must not hang an export


@dataclass
class State:
    """What a stateful model keeps between predictions; Core ML begins with zeros."""

    value: torch.Tensor


@dataclass
class Evaluator:
    """Executes one package. With ``rounded`` False nothing is rounded to float16: what is left is not rounding.

    ``in_float16``: which operations of a package in float32 to compute as if they were declared in float16: what they
    take, weights too, and what they yield is rounded, as by coremltools' float16 pass.
    """

    package: Package
    rounded: bool = True
    in_float16: Callable[[Operation], bool] | None = None
    _constants: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def unsupported(self) -> list[str]:
        """Return the types of operations in the package that can't be executed here, sorted."""
        known = implementations()
        types = {each.type for each in self.package.function.block.walk()}
        return sorted(each for each in types if each not in known and each not in BUILT_IN)

    def states(self) -> dict[str, State]:
        """Return the states of a stateful package, zeros as Core ML begins; give them to each `run` of a sequence."""
        return {
            each.name: State(torch.zeros([n or 0 for n in each.type.shape], dtype=TORCH[each.type.dtype]))
            for each in self.package.function.inputs
            if each.type.kind == "state"
        }

    def run(
        self,
        inputs: Mapping[str, torch.Tensor],
        states: Mapping[str, State] | None = None,
        observer: Observer | None = None,
    ) -> dict[str, Any]:
        """Return the function's outputs by name for ``inputs`` by name; ``states`` are read and written.

        Raises UnsupportedOpError that names every operation which is lacking, and EvaluationError for an input or a
        result that is not what the program declares.
        """
        if lacking := self.unsupported():
            raise UnsupportedOpError(f"{self.package.folder.name}: {_lacking(lacking)}")
        function = self.package.function
        environment: Environment = dict(states or self.states())
        for each in function.inputs:
            if each.type.kind != "state":
                environment[each.name] = _checked_input(each, inputs)
        with torch.no_grad():
            self._block(function.block, environment, observer)
        return {name: environment[name] for name in function.block.results}

    def _block(self, block: Block, environment: Environment, observer: Observer | None) -> list[Any]:
        for operation in block.operations:
            results = self._operation(operation, environment, observer)
            for output, result in zip(operation.outputs, results, strict=True):
                environment[output.name] = result
        return [environment[name] for name in block.results]

    def _operation(self, operation: Operation, environment: Environment, observer: Observer | None) -> tuple[Any, ...]:
        if operation.type == "const" or operation.type.startswith("constexpr_"):
            return self._constant(operation, environment)
        if operation.blocks:
            return self._control(operation, environment, observer)
        if operation.type in BUILT_IN:
            return _state_operation(operation, self._values(operation, environment))
        made = self._computed(operation, environment)
        return self._stored_all(operation, made, observer)

    def _constant(self, operation: Operation, environment: Environment) -> tuple[Any, ...]:
        if id(operation) not in self._constants:
            if operation.type == "const":
                made: Any = self.package.value(operation.attributes["val"])
            else:
                made = self._computed(operation, environment)
            self._constants[id(operation)] = self._stored_all(operation, made, None)
        return self._constants[id(operation)]

    def _computed(self, operation: Operation, environment: Environment) -> Any:
        half = self.in_float16 is not None and self.in_float16(operation)
        values = self._values(operation, environment)
        taken = {name: tuple(map(_halved, each)) for name, each in values.items()} if half else values
        call = Call(operation, taken, self.package.function.ios)
        try:
            made = implementations()[operation.type](call)
            return (tuple(map(_halved, made)) if isinstance(made, tuple) else _halved(made)) if half else made
        except EvaluationError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
            raise call.error(f"can't be executed with its arguments: {_first_line(error)}") from error

    def _values(self, operation: Operation, environment: Environment) -> dict[str, tuple[Any, ...]]:
        values = {
            name: tuple(self._bound(operation, each, environment) for each in bindings)
            for name, bindings in operation.inputs.items()
        }
        return values | {name: (self.package.value(each),) for name, each in operation.attributes.items()}

    def _bound(self, operation: Operation, binding: str | Literal, environment: Environment) -> Any:
        if isinstance(binding, Literal):
            return self.package.value(binding)
        if binding not in environment:
            raise EvaluationError(f"operation {operation.type} {operation.name!r} reads {binding!r}, which is nowhere")
        return environment[binding]

    def _control(self, operation: Operation, environment: Environment, observer: Observer | None) -> tuple[Any, ...]:
        if operation.type == "cond":
            chosen = operation.blocks[0 if bool(self._values(operation, environment)["pred"][0]) else 1]
            return tuple(self._block(chosen, dict(environment), observer))
        if operation.type != "while_loop":
            raise UnsupportedOpError(_lacking([operation.type]))
        condition, body = operation.blocks
        values = list(self._values(operation, environment)["loop_vars"])
        for _ in range(MOST_ROUNDS):
            (more,) = self._block(condition, _entered(condition, values, environment), None)
            if not bool(more):
                return tuple(values)
            values = self._block(body, _entered(body, values, environment), observer)
        raise EvaluationError(f"operation while_loop {operation.name!r} went round {MOST_ROUNDS} times without an end")

    def _stored_all(self, operation: Operation, made: Any, observer: Observer | None) -> tuple[Any, ...]:
        results = made if isinstance(made, tuple) else (made,)
        if len(results) != len(operation.outputs):
            raise EvaluationError(
                f"operation {operation.type} {operation.name!r} declares {len(operation.outputs)} outputs, "
                f"but yields {len(results)}"
            )
        pairs = zip(operation.outputs, results, strict=True)
        return tuple(self._stored(operation, output, value, observer) for output, value in pairs)

    def _stored(self, operation: Operation, output: Output, value: Any, observer: Observer | None) -> Any:
        if output.type.kind != "tensor" or output.type.dtype == "str":
            return value
        if not isinstance(value, torch.Tensor) or not output.type.admits(tuple(value.shape)):
            found = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise EvaluationError(
                f"operation {operation.type} {operation.name!r} declares {output.name!r} as {output.type}, "
                f"but it comes out as {found}"
            )
        stored = self._rounded(value, output)
        given = observer(operation, output, value, stored) if observer is not None else None
        return stored if given is None else given

    def _rounded(self, value: torch.Tensor, output: Output) -> torch.Tensor:
        dtype = output.type.dtype
        if _kind(value) != ("float" if dtype in FLOATS else "bool" if dtype == "bool" else "int"):
            raise EvaluationError(f"{output.name!r} is declared as {output.type}, but comes out as {value.dtype}")
        return value.float() if dtype == "fp16" and not self.rounded else value.to(TORCH[dtype])


def _entered(block: Block, values: list[Any], environment: Environment) -> Environment:
    names = [each.name for each in block.inputs]
    return environment | dict(zip(names, values, strict=True))


def _state_operation(operation: Operation, values: dict[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    (state,) = values.get("input") or values["state"]
    if operation.type != "read_state":
        (value,) = values.get("data") or values["value"]
        state.value = value.to(state.value.dtype).clone()
    return (state.value.clone(),) if operation.outputs else ()


def _checked_input(declared: Output, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if declared.name not in inputs:
        raise EvaluationError(f"the package takes an input {declared.name!r}, which was not given")
    value = inputs[declared.name]
    if not declared.type.admits(tuple(value.shape)):
        raise EvaluationError(f"input {declared.name!r} is {declared.type}, but {list(value.shape)} was given")
    return value.to(TORCH[declared.type.dtype])


def _kind(value: torch.Tensor) -> str:
    if value.dtype == torch.bool:
        return "bool"
    return "float" if value.is_floating_point() else "int"


def _halved(value: Any) -> Any:
    is_float32 = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return value.half().float() if is_float32 else value


def _lacking(types: list[str]) -> str:
    random = [each for each in types if each.startswith("random_")]
    if random:
        return f"it draws random numbers ({', '.join(random)}), so that no output can be checked"
    return f"operations that can't be executed here: {', '.join(types)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
