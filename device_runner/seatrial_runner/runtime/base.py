"""What a runtime is to a session, whatever executes the artifact. A new one is one module and one line in `TABLE`.

A `Runtime` knows how to make itself ready on a device; what it returns, an `Equipped`, makes the runs. So an agent that
loads a library, a vendor's program that prints its own report, and an app on a phone look alike to a trial.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from seatrial_targets.errors import UnknownNameError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from ..bundle import Bundle
from ..condition.finding import Finding
from ..lease import Lease
from ..pusher import Pusher
from ..records import AgentResult, Build, BundleName, DeviceState, Evicted, RunKind
from ..run import RunRequest
from ..transport.base import Transport

TABLE = {
    "onnxruntime": "seatrial_runner.runtime.onnxruntime:OnnxRuntime",
    "coreml": "seatrial_runner.runtime.coreml:CoreML",
    "tensorrt": "seatrial_runner.runtime.tensorrt.runtime:TensorRt",
}


@dataclass(frozen=True)
class Ground:
    """What a runtime finds when it is made ready: a device that is connected and leased, and what shall run there."""

    device: Device
    transport: Transport
    state: DeviceState
    lease: Lease
    pusher: Pusher
    bundles: Mapping[BundleName, Bundle]
    profiles: Mapping[BundleName, TargetProfile]


class Equipped(Protocol):
    """A runtime that is ready on a device, with the bundles of one session."""

    def execute(self, request: RunRequest) -> AgentResult:
        """Make one run and return its result, which may be an error of its own.

        Raises AgentError when what runs died or printed no result, and whatever the transport raises.
        """

    def lacks(self, kind: RunKind) -> str:
        """Return why runs of ``kind`` can't be made here, or an empty string. Without duets, pairs are separate."""

    def settings(self) -> dict[str, str]:
        """Return what runs, and how, for the record: runs with other settings do not mix, and do not compare."""

    def stamp(self) -> str:
        """Return what is not real about what runs here (a stand-in for a vendor's program), or an empty string."""

    def builds(self) -> dict[BundleName, Build]:
        """Return what the device made of the bundles before they can run; empty where it takes them as they are."""

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Let the device forget what it holds in memory of the files of ``bundle``. None: it can't be asked to."""

    def close(self) -> None:
        """Undo on the device what was done for this session alone; harmless when the link is lost."""


class Runtime(Protocol):
    """What executes the artifacts of one kind."""

    name: str

    def read_state(self, device: Device, transport: Transport, *, brief: bool = False) -> DeviceState:
        """Return the state of the device that computes, which may not be the machine that the transport reaches.

        ``brief``, between runs: only what may change from one to the next, and cheaply.
        """

    def equip(self, ground: Ground) -> Equipped:
        """Bring everything to the device that runs need, and check that it can be used.

        Raises BundleError for a bundle of another runtime, and DeviceErrors.
        """

    def examine(self, device: Device, transport: Transport, state: DeviceState | None) -> tuple[Finding, ...] | None:
        """Return what a doctor finds of this runtime on the device, changing nothing there.

        ``state`` is None for a device that could not be reached so far. None: the doctor looks at agent and library.
        """


def get_runtime(name: str) -> Runtime:
    """Return the runtime called ``name``. Raises UnknownNameError."""
    if name not in TABLE:
        raise UnknownNameError("runtime", name, TABLE)
    module, _, attribute = TABLE[name].partition(":")
    return cast(Runtime, getattr(importlib.import_module(module), attribute)())
