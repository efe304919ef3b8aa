"""A session with one device: connected, fit for the bundles, leased, swept, and holding all that a run needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import ValidationError

from seatrial_targets.errors import AgentError, BundleError, SeatrialError, UserError
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile
from seatrial_targets.window import Window

from . import lease as leases
from .bundle import Bundle
from .condition.pagecache import PageCache, drop, state_after
from .condition.prepare import prepare
from .condition.sensors import find_sensors
from .condition.window import Watch
from .meter import Choice, choose_for, sample_period_ns
from .meter.beside import execute_beside
from .plan import Event, OnEvent, Plan, quiet
from .pusher import Pusher
from .records import AgentResult, ArmName, Build, BundleName, DeviceState, PowerTrace, Prepared, RunKind
from .run import RunRequest, sweep
from .runtime.base import Equipped, Ground, Runtime, get_runtime
from .transport import open_transport
from .transport.base import Transport

SENSORS_NS = 1_000_000_000  # between readings in a sustained run


@dataclass
class DeviceSession:
    """What is known of the device, and the runtimes that are ready on it; made by `open_session`.

    Bundles of one runtime share what was made ready for it, and only such bundles can meet in one run.
    """

    device: Device
    transport: Transport
    state: DeviceState
    lease: leases.Lease
    runtime: Runtime
    equipped: dict[BundleName, Equipped]
    meter: Choice
    bytes_sent: int = 0
    prepared: tuple[Prepared, ...] = ()
    window: Window = field(default_factory=Window)
    power: PowerTrace | None = None  # of the last run, until it is taken

    def request(
        self,
        kind: RunKind,
        bundles: Mapping[ArmName, BundleName],
        plan: Plan,
        first: ArmName = "a",
        pair: int | None = None,
    ) -> RunRequest:
        """Return the request for one run of ``kind``; ``bundles`` says which bundle is which arm."""
        meter = self.meter.meter if kind == "energy" else None
        if meter is None:
            return RunRequest(kind, dict(bundles), plan, first, pair)
        period = sample_period_ns(meter, plan.energy_sample_ns)
        return RunRequest(kind, dict(bundles), plan, first, pair, meter.files(), period)

    def sustained_request(self, bundle: BundleName, plan: Plan, stride: int) -> RunRequest:
        """Return the request for a run of minutes, meanwhile temperatures, clocks and the meter's files are read."""
        files = {**find_sensors(self.transport), **(self.meter.meter.files() if self.meter.meter else {})}
        return RunRequest("sustained", {"a": bundle}, plan, counters=files, sample_ns=SENSORS_NS, stride=stride)

    def chill(self, request: RunRequest) -> PageCache:
        """Make the next start of the request's bundle a cold one, as far as we may; say how far that went."""
        bundle = request.arms["a"]
        dropped = drop(self.transport, self.device.allow_changes)
        return state_after(dropped, None if dropped else self.equipped[bundle].evict(bundle))

    def execute(self, request: RunRequest) -> AgentResult:
        """Run once. See `Equipped.execute` for what it raises."""
        result = self._made(request)
        if result.stamp and result.stamp not in self.stamp():
            raise AgentError(
                f"{self.device.name}: a run was made by {result.stamp}, which the session did not begin with"
            )
        return result

    def _made(self, request: RunRequest) -> AgentResult:
        execute = self.equipped[next(iter(request.arms.values()))].execute
        meter = self.meter.meter
        if request.kind != "energy" or meter is None or meter.source == "file":
            return execute(request)
        measured = execute_beside(execute, request, self.device, self.transport, meter)
        self.power = measured.power
        if measured.meter is not None:
            self.meter = Choice(measured.meter)
        return measured.result

    def take_power(self) -> PowerTrace | None:
        """Return what a meter's program measured during the last run, once."""
        power, self.power = self.power, None
        return power

    def lacks(self, kind: RunKind) -> str:
        """Return why runs of ``kind`` can't be made with these bundles on this device, or an empty string."""
        if kind == "duet" and len(self._runtimes()) > 1:
            return "the bundles are for different runtimes, which can't share a process"
        return next(filter(None, (each.lacks(kind) for each in self._runtimes())), "")

    def read_state(self, *, brief: bool = False) -> DeviceState:
        """Return the device's state now; ``brief`` is what may change from run to run."""
        return self.runtime.read_state(self.device, self.transport, brief=brief)

    def watch(self, on_event: OnEvent = quiet) -> Watch:
        """Return what waits until a run may begin, and says whether it counts, by the window of the first bundle."""
        return Watch(self.device.name, self.window, partial(self.read_state, brief=True), on_event)

    def settings(self) -> dict[str, str]:
        """Return what runs, for the record: runs by another agent or library do not mix."""
        merged: dict[str, str] = {}
        for each in self._runtimes():
            merged = {**each.settings(), **merged}
        return merged

    def stamp(self) -> str:
        """Return what is not real: what the inventory says of the device, and what gave itself away there."""
        found = [self.device.stamp, *(each.stamp() for each in self._runtimes())]
        return "; ".join(dict.fromkeys(filter(None, found)))

    def builds(self) -> dict[BundleName, Build]:
        """Return what the device made of the bundles before they can run."""
        return {name: build for each in self._runtimes() for name, build in each.builds().items()}

    def close(self) -> None:
        """Undo on the device what was done for this session alone."""
        for each in self._runtimes():
            each.close()

    def _runtimes(self) -> list[Equipped]:
        return list({id(each): each for each in self.equipped.values()}.values())


@contextmanager
def open_session(
    device: Device, bundles: Mapping[BundleName, Bundle], on_event: OnEvent = quiet
) -> Iterator[DeviceSession]:
    """Connect, check the fit, take the lease, clean up after crashed runs, push what is missing; undo it at the end.

    Raises UserError when a bundle does not fit the device, LeaseHeldError when somebody else measures there, and
    other DeviceErrors. Whatever happens inside, the lease is given back and our processes end.
    """
    on_event(Event(f"connecting to {device.name}"))
    runtime = get_runtime(next(iter(bundles.values())).manifest.runtime)
    with open_transport(device) as transport:
        state = runtime.read_state(device, transport)
        profiles = {name: fitting_profile(bundle, device, state) for name, bundle in bundles.items()}
        lease = leases.take(transport)
        try:
            _say(on_event, sweep(transport))
            prepared = prepare(transport, _units(profiles), device.allow_changes)
            pusher = Pusher(transport, lease, on_event)
            equipped = _equip(Ground(device, transport, state, lease, pusher, bundles, profiles))
            meter = choose_for(device, transport, next(iter(profiles.values())).meters)
            window = next(iter(profiles.values())).window
            session = DeviceSession(
                device, transport, state, lease, runtime, equipped, meter, pusher.sent, prepared, window
            )
            try:
                yield session
            finally:
                session.close()
        finally:
            _leave(transport, lease, on_event)


def _equip(ground: Ground) -> dict[BundleName, Equipped]:
    """Make every runtime ready that a bundle needs, once, with all of its bundles."""
    equipped: dict[BundleName, Equipped] = {}
    for runtime in {bundle.manifest.runtime: 0 for bundle in ground.bundles.values()}:
        names = [name for name, bundle in ground.bundles.items() if bundle.manifest.runtime == runtime]
        bundles = {name: ground.bundles[name] for name in names}
        ready = get_runtime(runtime).equip(replace(ground, bundles=bundles))
        equipped |= dict.fromkeys(names, ready)
    return {name: equipped[name] for name in ground.bundles}


def _units(profiles: Mapping[BundleName, TargetProfile]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(unit for profile in profiles.values() for unit in profile.preparation))


def _say(on_event: OnEvent, failed: Sequence[str]) -> None:
    for what in failed:
        on_event(Event(f"could not be set back on the device: {what}"))


def _leave(transport: Transport, lease: leases.Lease, on_event: OnEvent) -> None:
    try:
        _say(on_event, sweep(transport))
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
