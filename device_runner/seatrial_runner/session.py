"""A session with one device: connected, fit for the bundles, leased, swept, and holding all that a run needs."""

from __future__ import annotations

import posixpath
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from seatrial_targets.errors import BundleError, DeviceError, SeatrialError, UserError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from . import lease as leases
from .agent import native_agent, python_agent
from .bundle import Bundle, sha256_file
from .condition.state import read_state
from .deadline import Deadline
from .job import ArmJob, ArmName, Job, Mode
from .libraries import find
from .meter import Choice, choose
from .plan import Event, OnEvent, Plan, quiet
from .records import AgentResult, DeviceState, RunKind
from .run import RunRequest, execute, sweep
from .runtime.base import Runtime, get_runtime
from .transport import open_transport, push_cached
from .transport.base import Transport

BundleName = Literal["candidate", "baseline"]
PUSH_SECONDS = 1800.0
SLOW_LINK_BYTES_PER_S = 250_000
UP = "../../"  # from a run's folder to the root


@dataclass
class DeviceSession:
    """What is known of the device and where things lie on it; made by `open_session`."""

    device: Device
    transport: Transport
    state: DeviceState
    lease: leases.Lease
    runtime: Runtime
    library: str
    agent: tuple[str, ...]
    meter: Choice
    arms: dict[BundleName, ArmJob] = field(default_factory=dict)
    bytes_sent: int = 0

    def request(
        self,
        kind: RunKind,
        bundles: Mapping[ArmName, BundleName],
        plan: Plan,
        first: ArmName = "a",
        pair: int | None = None,
    ) -> RunRequest:
        """Return the request for one run of ``kind``; ``bundles`` says which bundle is which arm."""
        mode: Mode = "latency" if kind == "solo" or kind == "duet" else kind
        iterations = {"solo": plan.solo_iterations, "duet": plan.duet_iterations, "memory": plan.memory_iterations}
        job = Job(
            token=secrets.token_hex(16),
            mode=mode,
            library=self.library,
            arms={arm: self.arms[bundle] for arm, bundle in bundles.items()},
            threads=plan.threads,
            spin=plan.spin,
            cpus=plan.cpus,
            warmup_iterations=plan.warmup_iterations,
            warmup_min_ns=plan.warmup_min_ns,
            warmup_max_ns=plan.duet_warmup_max_ns if kind == "duet" else plan.warmup_max_ns,
            iterations=iterations.get(kind, plan.solo_iterations),
            max_ns=plan.max_ns,
            first=first,
            window_ns=plan.energy_window_ns,
            sample_period_ns=plan.energy_sample_ns,
            counters=self._counters() if kind == "energy" else {},
        )
        return RunRequest(kind, dict(bundles), job, pair)

    def execute(self, request: RunRequest, plan: Plan) -> AgentResult:
        """Run once. See `run.execute` for what it raises."""
        return execute(self.transport, self.lease, self.agent, self.runtime, request, plan.run_seconds)

    def read_state(self) -> DeviceState:
        """Return the device's state now."""
        return read_state(self.transport)

    def settings(self) -> dict[str, str]:
        """Return what runs, for the record: runs by another agent or library do not mix."""
        agent = "native" if len(self.agent) == 1 else "python"
        return {"agent": agent, "library": self.library.removeprefix(UP)}

    def _counters(self) -> dict[str, str]:
        meter = self.meter.meter
        return {meter.id: meter.path} if meter else {}


@contextmanager
def open_session(
    device: Device, bundles: Mapping[BundleName, Bundle], on_event: OnEvent = quiet
) -> Iterator[DeviceSession]:
    """Connect, check the fit, take the lease, clean up after crashed runs, push what is missing; undo it at the end.

    Raises UserError when a bundle does not fit the device, LeaseHeldError when somebody else measures there, and
    other DeviceErrors. Whatever happens inside, the lease is given back and our processes end.
    """
    on_event(Event(f"connecting to {device.name}"))
    with open_transport(device) as transport:
        state = read_state(transport)
        profiles = {name: fitting_profile(bundle, device, state) for name, bundle in bundles.items()}
        lease = leases.take(transport)
        try:
            sweep(transport)
            yield _equip(device, transport, state, lease, bundles, profiles, on_event)
        finally:
            _leave(transport, lease)


def _leave(transport: Transport, lease: leases.Lease) -> None:
    try:
        sweep(transport)
        leases.give_back(transport, lease)
    except SeatrialError:
        # The link may be what failed: then the device's own deadline ends the run, and the lease expires.
        leases.abandon(lease)


def fitting_profile(bundle: Bundle, device: Device, state: DeviceState) -> TargetProfile:
    """Return the bundle's profile. Raises UserError when it is for another kind of machine than the device."""
    profile = profile_of(bundle)
    reason = profile.mismatch(machine=state.machine, model=state.model)
    if reason:
        raise UserError(
            f"{bundle.path} does not fit {device.name}: {reason};"
            " export it for a target that fits (`seatrial targets list`)"
        )
    return profile


def profile_of(bundle: Bundle) -> TargetProfile:
    """Return the target that a bundle was made for. Raises BundleError for one that this version can't read."""
    try:
        return TargetProfile.model_validate(bundle.manifest.profile)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BundleError(f"{bundle.path}: its target can't be read: {what}; export it again, or upgrade") from error


def _equip(
    device: Device,
    transport: Transport,
    state: DeviceState,
    lease: leases.Lease,
    bundles: Mapping[BundleName, Bundle],
    profiles: Mapping[BundleName, TargetProfile],
    on_event: OnEvent,
) -> DeviceSession:
    profile = next(iter(profiles.values()))
    pusher = _Pusher(transport, lease, on_event)
    session = DeviceSession(
        device=device,
        transport=transport,
        state=state,
        lease=lease,
        runtime=get_runtime(profile.runtime.name),
        library=_library(device, profiles, state.machine, pusher),
        agent=_agent(transport, state.machine, pusher),
        meter=choose(transport, profile.meters),
    )
    for name, bundle in bundles.items():
        remote = {
            entry.path: pusher.push(bundle.file(entry.path), entry.sha256)
            for entry in bundle.manifest.files
            if entry.role in NEEDED
        }
        session.arms[name] = session.runtime.arm_job(bundle.manifest, profiles[name], remote.__getitem__)
    session.bytes_sent = pusher.sent
    return session


NEEDED = ("artifact", "golden_input", "golden_output")


@dataclass
class _Pusher:
    """Pushes files by content; a file that the device already has costs no bytes. Returns paths as a run sees them."""

    transport: Transport
    lease: leases.Lease
    on_event: OnEvent
    sent: int = 0
    held_until: float = 0.0  # in monotonic time

    def push(self, path: Path, sha256: str, *, executable: bool = False) -> str:
        self._hold(path.stat().st_size)

        def progress(done: int, total: int) -> None:
            self.on_event(Event(f"pushing {path.name}", done, total, "bytes"))

        remote, sent = push_cached(
            self.transport,
            path,
            sha256,
            deadline=Deadline.after(PUSH_SECONDS),
            progress=progress,
            executable=executable,
        )
        self.sent += sent
        return UP + posixpath.relpath(remote, self.transport.root)

    def _hold(self, size_bytes: int) -> None:
        """Keep the lease for as long as a slow link needs for so much: nobody may measure while we push."""
        needed = int(leases.ROUND_TRIP_SECONDS + size_bytes / SLOW_LINK_BYTES_PER_S)
        if self.held_until < time.monotonic() + needed:
            leases.renew(self.transport, self.lease, needed + leases.LEASE_SECONDS)
            self.held_until = time.monotonic() + needed


def _library(device: Device, profiles: Mapping[BundleName, TargetProfile], machine: str, pusher: _Pusher) -> str:
    if device.library:
        return device.library
    # One library for all: it must suit every bundle.
    library = find(machine, ",".join(filter(None, {p.runtime.versions: 0 for p in profiles.values()})))
    return pusher.push(library.path, library.sha256)


def _agent(transport: Transport, machine: str, pusher: _Pusher) -> tuple[str, ...]:
    native = native_agent(machine)
    if native is not None:
        return (pusher.push(native, sha256_file(native), executable=True),)
    has_python = transport.run(["sh", "-c", "command -v python3"], deadline=Deadline.after(30.0)).ok
    if not has_python:
        raise DeviceError(
            f"{transport.name}: there is no agent for {machine} and the device has no python3 for the fallback;"
            " install python3 there, or build an agent (CONTRIBUTING.md, `make agents`)"
        )
    script = python_agent()
    return ("python3", pusher.push(script, sha256_file(script)))
