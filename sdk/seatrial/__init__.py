"""Seatrial: take a PyTorch model to a named device and prove that it is fit to ship.

>>> import seatrial
>>> bundle = seatrial.export("my_model.py:build", "raspberry-pi-5-int8", "bundles/")  # doctest: +SKIP
>>> trial, verdict = seatrial.gate(bundle.path, "bundles/old", "lab-pi")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from seatrial_ci.gate import GateSettings, Verdict
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.records import Trial
    from seatrial_targets.budgets import Budgets
    from seatrial_targets.errors import SeatrialError
    from seatrial_targets.profile import TargetProfile

    from .api import analyze, bench, calibrate, compress, export, gate, judge_file
    from .compression.undo import restore_original
    from .policies import gate_policy, judge_policy_files
    from .source import ModelSource, load_source
    from .verify.tensorrt.files import lint

# Resolved on first use, so that `import seatrial` and `seatrial --help` load neither pydantic nor torch.
_HOMES = {
    "Budgets": "seatrial_targets.budgets",
    "Bundle": "seatrial_runner.bundle",
    "GateSettings": "seatrial_ci.gate",
    "ModelSource": "seatrial.source",
    "SeatrialError": "seatrial_targets.errors",
    "TargetProfile": "seatrial_targets.profile",
    "Trial": "seatrial_runner.records",
    "Verdict": "seatrial_ci.gate",
    "analyze": "seatrial.api",
    "bench": "seatrial.api",
    "calibrate": "seatrial.api",
    "compress": "seatrial.api",
    "export": "seatrial.api",
    "gate": "seatrial.api",
    "gate_policy": "seatrial.policies",
    "judge_file": "seatrial.api",
    "judge_policy_files": "seatrial.policies",
    "lint": "seatrial.verify.tensorrt.files",
    "load_source": "seatrial.source",
    "restore_original": "seatrial.compression.undo",
}

__all__ = [
    "Budgets",
    "Bundle",
    "GateSettings",
    "ModelSource",
    "SeatrialError",
    "TargetProfile",
    "Trial",
    "Verdict",
    "__version__",
    "analyze",
    "bench",
    "calibrate",
    "compress",
    "export",
    "gate",
    "gate_policy",
    "judge_file",
    "judge_policy_files",
    "lint",
    "load_source",
    "restore_original",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seatrial' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
