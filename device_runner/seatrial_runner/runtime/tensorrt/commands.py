"""Command lines of trtexec, by its version: what a build and a query are called in 8.2 to 11.

Version 11 changed what is measured by default: no transfers, spin-wait, CUDA graph; before, the reverse held. Here a
figure means the same whatever the version: what is wanted is asked for where it is not the default, and what trtexec
then reports of itself is compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seatrial_targets.errors import AgentError, UserError

from .report import Report
from .version import Version

SKIP_INFERENCE = (8, 6)  # the first with --skipInference; before: --buildOnly
NEW_DEFAULTS = (11,)


@dataclass(frozen=True)
class QuerySettings:
    """How queries are made. The defaults are those of version 11: the GPU's time alone, as steady as it gets.

    ``transfers``: inputs and outputs are copied for each query, and count. ``spin``: the host waits busily, which
    steadies times and costs CPU. ``graph``: the kernels are launched as one CUDA graph.
    """

    transfers: bool = False
    spin: bool = True
    graph: bool = True

    def echoed(self) -> dict[str, str]:
        """Return what trtexec prints of these settings."""
        words = {True: "Enabled", False: "Disabled"}
        pairs = {"Data transfers": self.transfers, "Spin-wait": self.spin, "CUDA Graph": self.graph}
        return {name: words[value] for name, value in pairs.items()}

    def flags(self, version: Version) -> list[str]:
        """Return the options that bring these settings about in ``version``.

        >>> QuerySettings().flags(Version(11, 1, 0)), QuerySettings(transfers=True).flags(Version(8, 6, 1))
        ([], ['--useSpinWait', '--useCudaGraph'])
        """
        if version >= NEW_DEFAULTS:
            pairs = {
                "--includeDataTransfers": self.transfers,
                "--noSpinWait": not self.spin,
                "--noCudaGraph": not self.graph,
            }
        else:
            pairs = {"--noDataTransfers": not self.transfers, "--useSpinWait": self.spin, "--useCudaGraph": self.graph}
        return [flag for flag, wanted in pairs.items() if wanted]


@dataclass(frozen=True)
class Query:
    """One call that measures an engine. Paths are the device's; times in ms; ``shapes`` are of inputs that vary."""

    engine: str
    inputs: Mapping[str, str]  # tensor to file of raw little-endian values
    shapes: Mapping[str, Sequence[int]]
    iterations: int
    warmup_ms: int
    settings: QuerySettings
    times: str = "times.json"
    outputs: str = "outputs.json"
    profile: str = ""
    layers: str = ""
    duration_s: int = 0


def build_command(version: Version, onnx: str, engine: str, flags: Sequence[str], cache: str, layers: str) -> list[str]:
    """Return the options of a build; ``flags`` are the bundle's, ``cache`` the timing cache, all paths the device's."""
    skip = "--skipInference" if version >= SKIP_INFERENCE else "--buildOnly"
    files = [f"--onnx={onnx}", f"--saveEngine={engine}", f"--timingCacheFile={cache}"]
    return [*files, skip, "--profilingVerbosity=detailed", f"--exportLayerInfo={layers}", *flags]


def query_command(version: Version, query: Query) -> list[str]:
    """Return the options of a call that measures. Raises UserError for a tensor name that trtexec can't be given."""
    options = [f"--loadEngine={query.engine}"]
    if query.inputs:
        options.append("--loadInputs=" + ",".join(f"{_name(name)}:{file}" for name, file in query.inputs.items()))
    if query.shapes:
        dims = {name: "x".join(map(str, shape)) for name, shape in query.shapes.items()}
        options.append("--shapes=" + ",".join(f"{_name(name)}:{shape}" for name, shape in dims.items()))
    options += [f"--iterations={query.iterations}", f"--duration={query.duration_s}", f"--warmUp={query.warmup_ms}"]
    options += query.settings.flags(version)
    exports = {
        "--exportTimes": query.times, "--exportOutput": query.outputs, "--exportProfile": query.profile,
        "--exportLayerInfo": query.layers,
    }  # fmt: skip
    options += [f"{option}={file}" for option, file in exports.items() if file]
    # In one call with the queries, but after them; 11 does so by itself.
    return [*options, *(["--separateProfileRun"] if query.profile and version < NEW_DEFAULTS else [])]


def require_asked_for(report: Report, settings: QuerySettings) -> None:
    """Raise AgentError when trtexec says that it measured otherwise than it was asked to.

    That no CUDA graph could be captured is no such case: it stays in the record as what was in effect.
    """
    for name, wanted in settings.echoed().items():
        told = report.settings.get(name)
        if told is None:
            raise AgentError(f"trtexec does not say whether it ran with {name}; its figures can't be compared")
        if told != wanted and "could not" not in told:
            raise AgentError(f"trtexec ran with {name} {told}, where {wanted} was asked for")


def _name(name: str) -> str:
    """A tensor's name as trtexec takes it: in quotes when it has a colon; a comma or a quote has no way in."""
    if any(char in name for char in ",'\"") or any(ord(char) < 32 for char in name):
        raise UserError(
            f"tensor name {name!r} holds a comma, a quote or a control character, which trtexec has no way to take;"
            " rename it in the model, or set `runner: python` for the device"
        )
    return f"'{name}'" if ":" in name else name
