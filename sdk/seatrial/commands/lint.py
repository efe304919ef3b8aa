"""seatrial lint: what of an ONNX file TensorRT would reject, or silently not run in INT8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .options import complete_targets
from .screen import Screen

if TYPE_CHECKING:
    from seatrial.verify.tensorrt import Compiled, Finding

PLURALS = {"error": "errors", "warning": "warnings", "hint": "hints"}


@click.command(
    cls=Command, epilog="Exit codes: 0 nothing serious, 1 errors (with --strict also warnings), 2 wrong usage."
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="NAME", shell_complete=complete_targets, help="A TensorRT target.")
@click.option("--check", "compiled", is_flag=True, help="Let NVIDIA's own parser and compiler try it (no GPU needed).")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--every", is_flag=True, help="Show every place, not the first three of each rule.")
@click.pass_obj
def lint(screen: Screen, /, model: Path, target: str, compiled: bool, strict: bool, every: bool) -> int:
    """Check the ONNX file MODEL (or a bundle with one) by the rules of TensorRT on a target."""
    from seatrial.verify.tensorrt.files import compile_check
    from seatrial.verify.tensorrt.files import lint as run

    found = run(model, target)
    verdict = compile_check(model, target) if compiled else None
    screen.document(_document(found, verdict))
    _say_findings(screen, found, every)
    if verdict is not None:
        _say_compiled(screen, verdict)
    serious = {"error", "warning"} if strict else {"error"}
    failed = any(finding.severity in serious for finding in found) or (verdict is not None and not verdict.built)
    return 1 if failed else 0


def _document(found: Sequence[Finding], verdict: Compiled | None) -> dict[str, object]:
    document: dict[str, object] = {"findings": [asdict(each) for each in found]}
    if verdict is not None:
        document["compiled"] = asdict(verdict)
    return document


def _say_findings(screen: Screen, found: Sequence[Finding], every: bool) -> None:
    if not found:
        screen.line("no findings")
        return
    seen: Counter[str] = Counter()
    rows = []
    for each in found:
        seen[each.rule] += 1
        if every or seen[each.rule] <= 3:
            place = f"{each.op} {each.node}".strip()
            advice = f"{each.reason}. {each.fix[:1].upper()}{each.fix[1:]}"
            rows.append((each.severity, each.rule, place, advice, each.versions))
    screen.table(("", "rule", "where", "what, and what to do", "TensorRT"), rows, whole=2)
    hidden = len(found) - len(rows)
    total = Counter(each.severity for each in found)
    counts = ", ".join(f"{n} {kind if n == 1 else PLURALS[kind]}" for kind, n in total.items())
    screen.line(f"\n{counts}" + (f"; {hidden} more places with --every" if hidden else ""))


def _say_compiled(screen: Screen, verdict: Compiled) -> None:
    from seatrial.verify.tensorrt.check import LIMITS

    screen.line()
    if not verdict.built:
        screen.outcome("FAIL", f"TensorRT-RTX {verdict.version} does not build it")
        for node, reason in verdict.errors:
            screen.line(f"  {node or 'model'}: {reason}")
    else:
        screen.outcome("PASS", f"TensorRT-RTX {verdict.version} builds it; {verdict.share()}")
    screen.line(f"({LIMITS})")
