"""Which operations stay in float32 while the rest of a program computes in float16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError, did_you_mean

if TYPE_CHECKING:
    import torch

AUTO = "auto"
# What coremltools puts behind the name of a float16 operation, and `seatrial bundle layers` therefore shows.
SUFFIX = "_cast_fp16"


class Kept:
    """Decides, operation by operation of a conversion, what coremltools' float16 pass leaves as it is.

    ``patterns`` are the user's: names of operations or of what they yield, as in a package, or paths of modules;
    ``modules``: of each node of the torch program the paths of the modules that it comes from. coremltools names what
    an operation yields after its node; those that it needs besides, for the same node, go with the one that reads them.
    """

    def __init__(self, patterns: Sequence[str], modules: Mapping[str, tuple[str, ...]]) -> None:
        self._patterns = {each: each.removesuffix(SUFFIX) for each in patterns}
        self._modules, self._used = modules, set[str]()
        self._seen: dict[str, bool] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The operations that were kept, in the program's order."""
        return tuple(name for name, kept in self._seen.items() if kept)

    def is_float16(self, operation: Any) -> bool:
        """Return False for what stays in float32: the ``op_selector`` of coremltools' FP16ComputePrecision."""
        if operation.op_type == "const":
            return True
        name = operation.outputs[0].name
        if name not in self._seen:
            self._seen[name] = self._selects(operation)
        return not self._seen[name]

    def check(self) -> None:
        """Raise ExportError, with a suggestion, for a pattern that no operation had."""
        for pattern in self._patterns:
            if pattern not in self._used:
                modules = sorted({path for paths in self._modules.values() for path in paths if path})
                known = [*self._seen, *modules]
                raise ExportError(
                    f"keep_float32 names {pattern!r}, which is no operation and no module of this model"
                    f"{did_you_mean(pattern, known)}; it has {len(self._seen)} operations, such as "
                    f"{', '.join([*modules[:3], *list(self._seen)[:3]])}"
                )

    def _selects(self, operation: Any) -> bool:
        node = operation
        while not (mine := self._of_names(node) + self._of_module(node)) and not self._paths(node):
            readers = [reader for output in node.outputs for reader in output.child_ops]
            if not readers:
                break
            node = readers[0]
        self._used |= set(mine)
        return bool(mine)

    def _of_names(self, operation: Any) -> list[str]:
        names = (operation.name, operation.outputs[0].name)
        return [each for each, at in self._patterns.items() if any(fnmatchcase(name, at) for name in names)]

    def _of_module(self, operation: Any) -> list[str]:
        paths, patterns = list(filter(None, self._paths(operation))), self._patterns.items()
        return [each for each, at in patterns if any(_is_within(path, at) for path in paths)]

    def _paths(self, operation: Any) -> tuple[str, ...]:
        from coremltools.converters.mil.mil.scope import ScopeSource

        # Of a trace: the wrapper that was traced, the modules, the value.
        traced = [str(each) for each in operation.scopes.get(ScopeSource.TORCHSCRIPT_MODULE_NAME, ())]
        return (".".join(traced[1:-1]),) if traced else self._modules.get(operation.outputs[0].name, ())


def _is_within(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or path.startswith(f"{pattern}.")


def modules_of(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each node of a program, the path of the module that it comes from; "" is the outermost.

    A batch norm has that of the layer before it as well: coremltools folds it into a convolution, under its own name.
    ``outputs`` are the names of the program's outputs, which its last operations have in place of their nodes'.
    """
    found = dict[str, tuple[str, ...]]()
    for node in program.graph.nodes:
        if node.op == "call_function":
            stack = list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())
            folded = found.get(str(node.args[0]), ()) if "batch_norm" in str(node.target) else ()
            found[node.name] = (str(stack[-1][0]), *folded)
    nodes = zip(outputs, program.graph_signature.user_outputs, strict=True)
    return found | {name: found[node] for name, node in nodes if node in found}
