"""How a runtime is started and how its output is read. A new runtime is one module and one line in `TABLE`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol, cast

from seatrial_targets.errors import UnknownNameError
from seatrial_targets.profile import TargetProfile

from ..job import ArmJob
from ..manifest import Manifest
from ..records import AgentResult

TABLE = {"onnxruntime": "seatrial_runner.runtime.onnxruntime:OnnxRuntime"}


class Runtime(Protocol):
    """What executes the artifacts of one kind on the device."""

    name: str

    def arm_job(self, manifest: Manifest, profile: TargetProfile, remote: Callable[[str], str]) -> ArmJob:
        """Return how to load and check the model; ``remote`` maps a path in the bundle to one on the device."""

    def parse_result(self, stdout: bytes, token: str) -> AgentResult:
        """Return what the agent printed. Raises AgentError for anything that is not its whole, well-formed result."""


def get_runtime(name: str) -> Runtime:
    """Return the runtime called ``name``. Raises UnknownNameError."""
    if name not in TABLE:
        raise UnknownNameError("runtime", name, TABLE)
    module, _, attribute = TABLE[name].partition(":")
    return cast(Runtime, getattr(importlib.import_module(module), attribute)())
