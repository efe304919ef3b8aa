"""A Mac, over SSH or this one: the runner is built there, once for each version of its sources, and makes each run."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seatrial_targets.errors import AgentError, DeviceError

from ...apple import SOURCES
from ...condition.finding import Finding
from ...deadline import Deadline
from ...lease import Lease
from ...plan import Event
from ...printable import printable
from ...pusher import UP
from ...records import AgentResult, Build, BundleName, Evicted, RunKind
from ...run import RunRequest, how_it_ended, run_in_folder
from ...transport.base import Transport
from .. import output
from ..base import Ground
from . import contract
from .folders import lay_out

BUILD_SECONDS = 900.0
NEEDED = ("Package.swift", "Sources")

# The program is kept by the hash of its sources; a build that was cut short has another name.
BUILD = r"""
cd "$1" || exit 71
key=$2 sources=$3
[ ! -x "apple/$key/seatrial-apple" ] || exit 0
command -v swift >/dev/null || { echo "there is no swift: run xcode-select --install" >&2; exit 75; }
part=apple/$key.part.$$
rm -rf "apple/$key" apple/*.part.*; mkdir -p "$part/build" && tar -xf "$sources" -C "$part/build" || exit 72
(cd "$part/build" && swift build -c release --product seatrial-apple) >&2 || exit 73
cp "$part/build/.build/release/seatrial-apple" "$part/seatrial-apple" && rm -rf "$part/build" && mv "$part" "apple/$key"
"""


@dataclass
class MacRunner:
    """Our program on a Mac, with the bundles of a session."""

    transport: Transport
    lease: Lease
    program: str
    stamped: str
    arms: dict[BundleName, dict[str, Any]] = field(default_factory=dict)

    def execute(self, request: RunRequest) -> AgentResult:
        """Run the program once. See `Equipped.execute`."""
        job = contract.render(request, self.arms, placement=request.kind == "solo")
        done = run_in_folder(self.transport, self.lease, [self.program], job, request.seconds, ends=request.ends)
        try:
            return contract.judged(output.parse_result(done.stdout, request.token))
        except AgentError as error:
            raise AgentError(f"{self.transport.name}: {how_it_ended(done)}; {error}") from error

    def lacks(self, kind: RunKind) -> str:
        """Return why there are no runs of ``kind``, or an empty string."""
        return contract.lacks(kind)

    def settings(self) -> dict[str, str]:
        """Return which runner runs."""
        return {"agent": "apple", "runner": self.program.removeprefix(f"{UP}apple/")}

    def stamp(self) -> str:
        """Return what is not real about this Mac, by its own word: a virtual machine."""
        return self.stamped

    def builds(self) -> dict[BundleName, Build]:
        """Return nothing: compiling a package is part of each run, and timed there."""
        return {}

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Return None: nothing of ours there can ask the kernel for it."""
        return None

    def close(self) -> None:
        """Do nothing: what was pushed and built stays in the cache."""


def equip(ground: Ground) -> MacRunner:
    """Build the runner there, if it is not yet, and bring the bundles. Raises DeviceErrors, BundleError."""
    program = build(ground)
    arms = {}
    for name, bundle in ground.bundles.items():
        folder = lay_out(ground.transport, bundle, ground.pusher)
        arms[name] = contract.arm(bundle.manifest, ground.profiles[name], f"{folder}/{{}}".format)
    return MacRunner(ground.transport, ground.lease, program, _stamp(ground.transport, program), arms)


def examine(transport: Transport) -> tuple[Finding, ...]:
    """Return whether the Mac can build the runner."""
    done = transport.run(["sh", "-c", "swift --version 2>&1"], deadline=Deadline.after(60.0), max_output=1 << 16)
    if done.ok:
        return (Finding("compiler", "ok", printable(done.stdout, 100)),)
    return (Finding("compiler", "error", "there is no swift, which builds the runner", "xcode-select --install"),)


def build(ground: Ground) -> str:
    """Return the path of the runner, as a run's folder sees it. Raises DeviceError that quotes the compiler."""
    data = archive()
    key = hashlib.sha256(data).hexdigest()
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        sources = ground.pusher.push(Path(file.name), key).removeprefix(UP)
    ground.pusher.hold(BUILD_SECONDS)
    ground.pusher.on_event(Event("building the runner on the Mac"))
    argv = ["sh", "-c", BUILD, "seatrial", ground.transport.root, key, sources]
    done = ground.transport.run(argv, deadline=Deadline.after(BUILD_SECONDS))
    if not done.ok:
        said = printable(done.stderr[-2000:], 2000) or f"exit code {done.returncode}"
        raise DeviceError(f"{ground.transport.name}: the runner can't be built there: {said}")
    return f"{UP}apple/{key}/seatrial-apple"


def archive() -> bytes:
    """Return the sources that a Mac needs, as a tar file that is the same each time."""
    stream = io.BytesIO()
    paths = sorted(path for part in NEEDED for path in [SOURCES / part, *(SOURCES / part).rglob("*")] if path.is_file())
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in paths:
            member = tarfile.TarInfo(path.relative_to(SOURCES).as_posix())
            member.size, member.mode = path.stat().st_size, 0o644
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    return stream.getvalue()


def _stamp(transport: Transport, program: str) -> str:
    path = f"{transport.root}/{program.removeprefix(UP)}"
    done = transport.run([path, "--identify"], deadline=Deadline.after(60.0), max_output=1 << 16)
    try:
        return printable(json.loads(done.stdout)["stamp"].encode(), 200)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = printable(done.stderr[-400:]) or f"exit code {done.returncode}"
        raise DeviceError(f"{transport.name}: the runner does not say which device it is on: {said}") from error
