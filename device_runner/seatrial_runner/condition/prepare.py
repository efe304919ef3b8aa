"""Prepare a device for a session: read what the profile names, set what we have leave to, say what stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..deadline import Deadline
from ..printable import printable
from ..records import Prepared
from ..transport.base import Transport
from .undo import Made, Right, forget, make
from .units import Change, Unit, get_unit

SECONDS = 60.0
Found = dict[str, dict[str, str]]


def prepare(transport: Transport, names: Sequence[str], leave: Right | None) -> tuple[Prepared, ...]:
    """Bring the device into the state that the units ``names`` describe, as far as ``leave`` goes; say how far.

    Call only with the lease in hand: `seatrial_runner.run.sweep` takes the changes back. Raises DeviceError when what
    is to be changed can't be written down on the device first.
    """
    units = {name: get_unit(name) for name in names}
    unknown = tuple(_unknown(name) for name, unit in units.items() if unit is None)
    return (*prepare_units(transport, [unit for unit in units.values() if unit], leave), *unknown)


def prepare_units(transport: Transport, units: Sequence[Unit], leave: Right | None) -> tuple[Prepared, ...]:
    """Do it for ``units``: at most three round trips, whatever their number; one more when a change failed."""
    if not units:
        return ()
    found = _read(transport, units)
    wanted = {unit.name: list(unit.changes(found[unit.name])) for unit in units}
    made = _make(transport, wanted, leave) if leave else {}
    now = _read(transport, units) if made else found
    forget(transport, [file for unit in units for file in _vain(unit, wanted[unit.name], made, now[unit.name])])
    return tuple(_outcome(unit, found[unit.name], now[unit.name], made.get(unit.name), leave) for unit in units)


def _read(transport: Transport, units: Sequence[Unit]) -> Found:
    """Let all units read, in one round trip; each in a shell of its own, so that none can spoil another's."""
    parts = (f"printf '\\001%s\\n' {unit.name}\n(\n{unit.READ}\n) </dev/null 2>/dev/null\n" for unit in units)
    script = "LC_ALL=C; export LC_ALL\n" + "".join(parts) + "exit 0\n"
    done = transport.run(["sh", "-c", script, "seatrial"], deadline=Deadline.after(SECONDS), max_output=1 << 20)
    found: Found = {unit.name: {} for unit in units}
    for block in done.stdout.split(b"\001")[1:]:
        name, *lines = block.splitlines()
        pairs = (line.partition(b"\t") for line in lines)
        told = {printable(key, 200): printable(value, 1000) for key, tab, value in pairs if tab}
        found.get(printable(name), {}).update(told)
    return found


def _make(transport: Transport, wanted: Mapping[str, Sequence[Change]], right: Right) -> dict[str, list[Made]]:
    changes = [(name, change) for name, several in wanted.items() for change in several]
    made: dict[str, list[Made]] = {}
    if changes:
        for (name, _), outcome in zip(changes, make(transport, [c for _, c in changes], right), strict=True):
            made.setdefault(name, []).append(outcome)
    return made


def _vain(
    unit: Unit, wanted: Sequence[Change], made: Mapping[str, Sequence[Made]], now: Mapping[str, str]
) -> list[str]:
    """Return the journal's files of changes that failed and, by what the device tells, changed nothing."""
    if unit.blind:
        return []
    still = list(unit.changes(now))
    return [
        each.file
        for change, each in zip(wanted, made.get(unit.name, ()), strict=False)
        if each.code and change in still
    ]


def _outcome(
    unit: Unit, found: Mapping[str, str], now: Mapping[str, str], made: list[Made] | None, leave: Right | None
) -> Prepared:
    record = Prepared(unit=unit.name, found=dict(found), now=dict(now), outcome="as wanted")
    if not found:
        return record.model_copy(update={"outcome": "absent", "reason": "the device does not tell it"})
    failed = [m.said or f"exit code {m.code}" for m in made or () if m.code]
    left, cannot = failed if made and unit.blind else unit.changes(now), unit.cannot(now)
    if left and made is None:
        why = "devices.yaml gives no leave to set it (allow_changes)"
    elif left and made:
        said = failed[0] if failed else "it took no effect"
        why = f"setting it failed: {said}" + (_advice(leave) if unit.needs == "root" else "")
    else:
        why = cannot
    if why:
        return record.model_copy(update={"outcome": "not set", "reason": f"{unit.told(now)}: {why}"[:4000]})
    return record.model_copy(update={"outcome": "set"}) if made else record


def _advice(leave: Right | None) -> str:
    return "; it needs root: log in as root, or allow_changes: sudo" if leave == "login" else ""


def _unknown(name: str) -> Prepared:
    return Prepared(unit=name, outcome="not set", reason="this version has no such unit of preparation")
