"""What the linter and NVIDIA's compiler say of the exported file: an error, notes, and a record in the bundle."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError, HarnessError

from ...verify.tensorrt import Compiled, Context, Finding, check, lint_model
from ...verify.tensorrt.check import LIMITS

if TYPE_CHECKING:
    import onnx

    from seatrial_targets.profile import TargetProfile

    from .. import Progress

CHECKS_FILE = "checks.json"
CHECKS_SCHEMA = "seatrial.tensorrt-checks/1"
SHOWN = 3  # rules in a message; the log has every place


@dataclass(frozen=True)
class Checks:
    """What was found. ``compiled`` is None where NVIDIA's compiler is not installed, or died, as ``notes`` then say."""

    findings: tuple[Finding, ...]
    compiled: Compiled | None
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return it as plain data for the bundle."""
        return {
            "schema": CHECKS_SCHEMA,
            "findings": [asdict(each) for each in self.findings],
            "compiled": asdict(self.compiled) if self.compiled is not None else None,
            "limits": LIMITS if self.compiled is not None else "",
        }


def run_checks(
    model: onnx.ModelProto,
    target: TargetProfile,
    log: Path | None,
    on_progress: Progress,
    held: Collection[str] = (),
) -> Checks:
    """Lint ``model``, and where it is installed let NVIDIA's compiler try it. ``held``: nodes that stay in float32.

    Raises ExportError when a rule says that TensorRT rejects it; ``log`` then receives all findings. What NVIDIA's
    current compiler rejects is a note: the device's version has the last word.
    """
    on_progress("check by TensorRT's rules")
    findings = lint_model(model, replace(Context.of(target), held=frozenset(held)))
    _refuse(findings, log)
    compiled, said = _compile(model, target, on_progress)
    return Checks(findings, compiled, (*_warnings(findings), said))


def _refuse(findings: Sequence[Finding], log: Path | None) -> None:
    errors = [each for each in findings if each.severity == "error"]
    if not errors:
        return
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(f"{_line(each)}\n" for each in errors), encoding="utf-8")
    rules = _by_rule(errors)
    more = f" | and {len(rules) - SHOWN} more rules" if len(rules) > SHOWN else ""
    raise ExportError(f"TensorRT would reject the model: {' | '.join(rules[:SHOWN])}{more}")


def _by_rule(findings: Sequence[Finding]) -> list[str]:
    """One line per rule: its first place, and how many there are."""
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.rule, []).append(each)
    return [_line(same[0]) + (f" (and {len(same) - 1} more)" if len(same) > 1 else "") for same in found.values()]


def _line(finding: Finding) -> str:
    where = f"{finding.op} {finding.node}".strip()
    return f"{finding.rule}: {where} {finding.reason}; {finding.fix}"


def _warnings(findings: Sequence[Finding]) -> list[str]:
    return _by_rule([each for each in findings if each.severity == "warning"])


def _compile(model: onnx.ModelProto, target: TargetProfile, on_progress: Progress) -> tuple[Compiled | None, str]:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return None, "not tried with NVIDIA's own compiler: the extra [tensorrt-check] is not installed"
    on_progress("let NVIDIA's compiler try it")
    try:
        compiled = check(model, dict(target.shapes))
    except HarnessError as error:
        return None, str(error)
    name = f"NVIDIA's compiler (TensorRT-RTX {compiled.version})"
    if not compiled.built:
        reasons = " | ".join(f"{node or 'model'}: {reason}" for node, reason in compiled.errors[:SHOWN])
        return compiled, f"{name} does not build it: {reasons or 'it gives no reason'}"
    said = compiled.share() if target.precision == "int8" else "it was built"
    return compiled, f"{name}: {said} ({LIMITS})"
