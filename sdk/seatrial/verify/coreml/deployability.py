"""Where a package can be deployed: the system that each operation needs, and what is known to leave the Neural Engine.

The first is read from coremltools' own registry of operations. The second is an estimate (see `neural_engine`): only
the device can tell, by MLComputePlan.
"""

from __future__ import annotations

import re
from typing import Any

from .neural_engine import RANGE, RULES, Rule, leaves
from .package import Package
from .program import Function, Literal, Operation
from .types import ValueType

DEPLOYABILITY_SCHEMA = "seatrial.deployability/1"
DEPLOYABILITY_FILE = "deployability.json"
ESTIMATE = (
    "an estimate from public sources: what no rule names may leave the Neural Engine, too; where each operation really "
    "runs is measured on the device, by MLComputePlan"
)
OLDEST = 15  # ML programs
_MODULE = re.compile(r"\.iOS(\d+)")


def deployability(package: Package, soc: str = "") -> dict[str, Any]:
    """Return the report on a package as plain data; ``soc`` is the target's chip, for the rules that depend on it.

    ``ios``: the system that the package needs as it is. ``operations``: for each type its count, the system in which
    it first came (``since``) and the one that defined the form used here (``form``), None where the registry has not
    got it. ``leaves``: rule by rule the operations of each type that are known to leave the engine; ``inputs`` those
    whose size keeps the whole program off it.
    """
    function = package.function
    runs = [each for each in function.block.walk() if each.type != "const" and not each.type.startswith("constexpr_")]
    found = _leaving(function, runs, soc)
    used = {rule.name for rule in RULES if rule.name in found}
    ranging = _ranging(package)
    return {
        "schema": DEPLOYABILITY_SCHEMA,
        "ios": function.ios,
        "operations": _systems(function),
        "engine": {
            "estimate": ESTIMATE,
            "operations": len(runs),
            "leaving": len({name for by_type in found.values() for names in by_type.values() for name in names}),
            "leaves": [
                {"rule": rule.name, "what": rule.what, "source": rule.source, "operations": _named(found[rule.name])}
                for rule in RULES
                if rule.name in used
            ],
            "inputs": [{"name": name, "what": RANGE.what, "source": RANGE.source} for name in ranging],
        },
    }


def _systems(function: Function) -> list[dict[str, Any]]:
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    counts: dict[str, int] = {}
    for operation in function.block.walk():
        if operation.type != "const":
            counts[operation.type] = counts.get(operation.type, 0) + 1
    return [
        {"type": kind, "count": count, **_system(SSAOpRegistry.core_ops.get(kind) or {}, function.ios)}
        for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def _system(definitions: dict[Any, type], ios: int) -> dict[str, int | None]:
    """The iOS versions of one operation: the first that had it, and that of the definition which ``ios`` reads."""
    known = {int(target.name.removeprefix("iOS")): made for target, made in definitions.items()}
    usable = [version for version in known if version <= ios]
    if not usable:
        return {"since": None, "form": None}
    found = _MODULE.search(known[max(usable)].__module__)
    return {"since": max(OLDEST, min(known)), "form": int(found.group(1)) if found else None}


def _leaving(function: Function, runs: list[Operation], soc: str) -> dict[str, dict[str, list[str]]]:
    """Rule -> type of operation -> names."""
    types = {each.name: each.type for each in function.inputs}
    types |= {output.name: output.type for each in function.block.walk() for output in each.outputs}
    found: dict[str, dict[str, list[str]]] = {}
    for operation in runs:
        for rule in _rules(operation, types, soc):
            found.setdefault(rule.name, {}).setdefault(operation.type, []).append(operation.name)
    return found


def _rules(operation: Operation, types: dict[str, ValueType], soc: str) -> list[Rule]:
    bound = [each for values in operation.inputs.values() for each in values]
    declared = [each.type if isinstance(each, Literal) else types.get(each) for each in bound]
    return leaves(operation, soc, tuple(len(each.shape) for each in declared if each is not None))


def _named(by_type: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"type": kind, "count": len(names), "first": names[0]} for kind, names in by_type.items()]


def _ranging(package: Package) -> list[str]:
    """Inputs whose size may be anything within bounds."""
    return [each.name for each in package.spec.description.input if _is_range(each.type)]


def _is_range(feature: Any) -> bool:
    if feature.WhichOneof("Type") == "imageType":
        return bool(feature.imageType.WhichOneof("SizeFlexibility") == "imageSizeRange")
    return bool(feature.multiArrayType.WhichOneof("ShapeFlexibility") == "shapeRange")
