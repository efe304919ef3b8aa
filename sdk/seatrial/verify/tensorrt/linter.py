"""All rules over one model, most serious first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..onnx_graph import Graph, label
from . import operators, placement, quantizers
from .finding import Context, Finding, Problem, Rule

if TYPE_CHECKING:
    import onnx

RULES: tuple[Rule, ...] = (*quantizers.RULES, *placement.RULES, *operators.RULES)
ORDER = ("error", "warning", "hint")


def lint_model(model: onnx.ModelProto, context: Context) -> tuple[Finding, ...]:
    """Return what of ``model`` TensorRT would reject, or silently not run in INT8, most serious first.

    Sources of the rules: https://github.com/onnx/onnx-tensorrt (importer), NVIDIA's documentation on explicit
    quantization, and what TensorRT-RTX's parser and compiler said about hand-made models, one per rule.
    """
    graph = Graph.of(model)
    found = [_finding(rule, each) for rule in RULES if rule.concerns(context) for each in rule.find(graph, context)]
    return tuple(sorted(found, key=lambda finding: ORDER.index(finding.severity)))


def _finding(rule: Rule, problem: Problem) -> Finding:
    node = problem.node
    return Finding(
        rule=rule.name,
        severity=problem.severity or rule.severity,
        node=label(node) if node is not None else problem.place,
        op=str(node.op_type) if node is not None else "",
        reason=problem.reason,
        fix=problem.fix,
        versions=rule.versions,
    )
