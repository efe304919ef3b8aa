"""Is the device in a state in which a run may begin, and did it stay so: waits before a run, voids one afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from seatrial_targets.errors import UnfitStateError
from seatrial_targets.window import Window

from ..plan import Event, OnEvent, quiet
from ..records import AgentResult, DeviceState

FRESH_S = 2.0  # the state after a run is the state before the next one when that follows at once
POLL_S = 5.0
WAITING = "waiting until the device is fit"
SANE_C = (-40.0, 150.0)  # sensors that are switched off tell -256, -273 or 4 digits


@dataclass(frozen=True)
class Observed:
    """The device around one run, the share of CPUs that others used, and why the run must not count (or nothing)."""

    before: DeviceState
    after: DeviceState
    others_load: float | None
    void: str


@dataclass
class Watch:
    """Watches a device's state between the runs of one trial."""

    device: str
    window: Window
    read: Callable[[], DeviceState]
    on_event: OnEvent = quiet
    poll_s: float = POLL_S
    _last: DeviceState | None = field(default=None, repr=False)
    _read_at: float = 0.0
    _quiet_wanted: bool = False  # after a run that others' load voided

    def ready(self) -> DeviceState:
        """Return the state, once a run may begin; wait for that, with progress, as long as the window says.

        Raises UnfitStateError when it takes longer, and whatever reading the state raises.
        """
        state = self._state()
        reason = not_ready(state, self.window) or self._busy(state)
        began = time.monotonic()
        while reason:
            waited = time.monotonic() - began
            longest = self.window.wait_ns / 1e9
            if waited > longest:
                raise UnfitStateError(f"{self.device}: {reason}, after a wait of {waited:.0f} s; {_advice(reason)}")
            self.on_event(Event(WAITING, int(waited), int(longest), "seconds", reason))
            time.sleep(min(self.poll_s, max(0.01, longest - waited)))
            earlier, state = state, self._state(fresh=True)
            reason = not_ready(state, self.window) or self._still_busy(earlier, state)
        self._quiet_wanted = False
        return state

    def observed(self, before: DeviceState, result: AgentResult | None) -> Observed:
        """Read the state after a run that began in ``before``, and say what became of it."""
        after = self._state(fresh=True)
        others = others_load(before, after, result.cpu_total_ns if result else None)
        void = next(spoiled(before, after, self.window), "") or _too_busy(others, self.window)
        self._quiet_wanted = bool(_too_busy(others, self.window))
        return Observed(before, after, others, void)

    def _state(self, *, fresh: bool = False) -> DeviceState:
        if fresh or self._last is None or time.monotonic() - self._read_at > FRESH_S:
            self._last, self._read_at = self.read(), time.monotonic()
        return self._last

    def _busy(self, state: DeviceState) -> str:
        """One reading of the CPUs' counters says nothing: where it matters, look again in a while."""
        return "others were busy on it" if self._quiet_wanted and state.cpu_total is not None else ""

    def _still_busy(self, earlier: DeviceState, state: DeviceState) -> str:
        return _too_busy(others_load(earlier, state, 0), self.window) if self._quiet_wanted else ""


def hottest(state: DeviceState, window: Window) -> tuple[str, float] | None:
    """Return the hottest zone of those that count and its temperature in Celsius, or None when none tells."""
    zones = {
        name: degrees
        for name, degrees in state.temperatures_c.items()
        if SANE_C[0] < degrees < SANE_C[1] and (not window.zones or _named(name, window.zones))
    }
    return max(zones.items(), key=lambda item: item[1], default=None)


def not_ready(state: DeviceState, window: Window) -> str:
    """Return why no run may begin in ``state``, or an empty string."""
    if state.throttled:
        return "the device is throttled"
    if state.thermal_status:
        return f"its thermal status is {state.thermal_status}, and 0 is wanted"
    hot = hottest(state, window)
    if hot and window.start_below_c is not None and hot[1] >= window.start_below_c:
        return f"{hot[0]} is at {hot[1]:.0f} C, and below {window.start_below_c:g} C is wanted"
    least, battery = (window.least_battery or 0) * 100, state.battery_percent
    if battery is not None and battery < least and not state.charging:
        return f"its battery is at {battery:.0f} %, and {least:.0f} % is wanted"
    return ""


def spoiled(before: DeviceState, after: DeviceState, window: Window) -> Iterator[str]:
    """Yield why a run between the two states must not count."""
    if before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        yield "the device was restarted meanwhile"
    if after.throttled:
        yield "the device was throttled at its end"
    if (after.throttle_events or 0) > (before.throttle_events or 0):
        yield "the device was throttled meanwhile"
    if after.thermal_status:
        yield f"its thermal status rose to {after.thermal_status}"
    hot = hottest(after, window)
    if hot and window.end_below_c is not None and hot[1] >= window.end_below_c:
        yield f"{hot[0]} was at {hot[1]:.0f} C at its end, and below {window.end_below_c:g} C is wanted"
    if before.charging is not None and after.charging is not None and before.charging != after.charging:
        yield f"the device {'began' if after.charging else 'ceased'} to charge meanwhile"
    changed = sorted(c for c, governor in before.governors.items() if after.governors.get(c, governor) != governor)
    if changed:
        yield f"the clock governor of {changed[0]} changed meanwhile"


def others_load(before: DeviceState, after: DeviceState, own_cpu_ns: int | None) -> float | None:
    """Return the share of all CPUs that others than the run's process used, 0 to 1; None when that can't be told."""
    if own_cpu_ns is None or None in (before.cpu_busy, before.cpu_total, after.cpu_busy, after.cpu_total):
        return None
    total = (after.cpu_total or 0) - (before.cpu_total or 0)
    busy = (after.cpu_busy or 0) - (before.cpu_busy or 0) - own_cpu_ns / 1e9
    return min(1.0, max(0.0, busy / total)) if total > 0 else None


def _too_busy(others: float | None, window: Window) -> str:
    if others is None or window.others_load is None or others <= window.others_load:
        return ""
    return f"others used {others:.0%} of its CPUs, and at most {window.others_load:.0%} is wanted"


def _named(zone: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, pattern) for word in (zone, *zone.split(" ")) for pattern in patterns)


def _advice(reason: str) -> str:
    if "battery" in reason:
        return "charge it"
    if "others" in reason:
        return "stop what else runs there, or widen others_load in the target's window"
    return "let it cool, improve its cooling or power supply, or widen the target's window"
