"""ONNX Runtime on the device, through the agents of `seatrial_runner.agent`."""

from __future__ import annotations

from collections.abc import Callable

from seatrial_targets.errors import BundleError
from seatrial_targets.profile import TargetProfile

from ..job import ArmJob, TensorFile
from ..manifest import Manifest, TensorEntry
from ..records import AgentResult
from . import output

# What an output may deviate from its golden value (relative L2) when its manifest says nothing: strict, so that an
# exporter that forgot is noticed.
DEFAULT_TOLERANCE = 1e-3


class OnnxRuntime:
    """Loads `.onnx` and `.ort` artifacts."""

    name = "onnxruntime"

    def arm_job(self, manifest: Manifest, profile: TargetProfile, remote: Callable[[str], str]) -> ArmJob:
        """Return the arm for a bundle made for this runtime.

        ``remote`` maps a POSIX path in the bundle to the path of that file on the device. Raises BundleError when the
        bundle is for another runtime or names no outputs, since then nothing could be checked.
        """
        if manifest.runtime != self.name:
            raise BundleError(
                f"bundle {manifest.name!r} is for the runtime {manifest.runtime!r}, not for {self.name!r}"
            )
        if not manifest.outputs:
            raise BundleError(f"bundle {manifest.name!r} has no golden outputs to check against; export it again")
        runtime = profile.runtime
        return ArmJob(
            model=remote(manifest.artifact),
            inputs=tuple(_tensor(entry, remote, None) for entry in manifest.inputs),
            outputs=tuple(_tensor(entry, remote, _tolerance(entry)) for entry in manifest.outputs),
            providers=tuple(runtime.providers),
            optimization=runtime.optimization,
            config={key: str(value) for key, value in runtime.config.items()},
        )

    def parse_result(self, stdout: bytes, token: str) -> AgentResult:
        """Return what the agent printed; see `output.parse_result`."""
        return output.parse_result(stdout, token)


def _tolerance(entry: TensorEntry) -> float:
    return DEFAULT_TOLERANCE if entry.tolerance is None else entry.tolerance


def _tensor(entry: TensorEntry, remote: Callable[[str], str], tolerance: float | None) -> TensorFile:
    return TensorFile(entry.name, entry.dtype, entry.golden_shape, remote(entry.golden), tolerance)
