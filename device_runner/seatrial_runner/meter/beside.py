"""Measure beside a run what the agent does not read itself: start the meter, make the run, bring both together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from seatrial_targets.errors import HarnessError
from seatrial_targets.inventory import Device

from ..records import AgentResult, MeterInfo, PowerTrace
from ..run import RunRequest
from ..transport.base import Transport
from .align import shift_between
from .base import get_meter
from .external import HostProgram, command_of, in_order
from .perfetto import rails_of
from .programs import DeviceProgram, ProgramMeter, Readings, merged

Execute = Callable[[RunRequest], AgentResult]
FIRST_READING_S = 20.0


@dataclass(frozen=True)
class Measured:
    """A run's result with the meter's readings in its windows, and the readings as they came."""

    result: AgentResult
    power: PowerTrace | None = None
    meter: MeterInfo | None = None  # when it is known better than before


def execute_beside(
    execute: Execute, request: RunRequest, device: Device, transport: Transport, meter: MeterInfo
) -> Measured:
    """Make the run while the meter's program measures. Raises what ``execute`` raises, and HarnessError."""
    if meter.source == "host program":
        return _beside_host_program(execute, request, device)
    return _beside_device_program(execute, request, transport, meter)


def _beside_host_program(execute: Execute, request: RunRequest, device: Device) -> Measured:
    if device.meter is None:
        raise HarnessError(f"{device.name}: its external meter is no longer in devices.yaml")
    with HostProgram(command_of(device.meter)) as program:
        program.wait_for_readings(FIRST_READING_S)
        result = execute(request)
        program.wait_for_another(FIRST_READING_S)
    times, powers = in_order(program.readings)
    trace = PowerTrace(channels=("power",), clock="host", t_ns=tuple(times), power_uw=(tuple(powers),))
    if program.problem:
        return Measured(result, trace.model_copy(update={"problem": program.problem}))
    rows = tuple((t, (round(uw),)) for t, uw in zip(times, powers, strict=True))
    return _laid_over(result, Readings("meter", ("power",), rows), trace, powers)


def _beside_device_program(execute: Execute, request: RunRequest, transport: Transport, meter: MeterInfo) -> Measured:
    kind = get_meter(meter.id.partition(":")[0])
    if not isinstance(kind, ProgramMeter):
        raise HarnessError(f"meter {meter.id} is none that this version reads")
    name, seconds = request.token[:16], request.seconds + 120
    with DeviceProgram(transport, kind.script(meter), name, seconds, ended_by_run=True) as program:
        result = execute(replace(request, ends=name))
    readings = kind.parse(program.output, meter)
    known = rails_of(meter, readings) if meter.id == "perfetto" else meter
    if program.problem or not readings.rows:
        why = program.problem or "what it printed holds no readings"
        return Measured(result, PowerTrace(channels=(), clock="device", t_ns=(), power_uw=(), problem=why), known)
    if readings.clock == "device":
        return Measured(_with(result, readings, 0), None, known)
    if readings.clock == "unix":
        return Measured(by_unix_time(result, readings), None, known)
    columns = [[None if v is None else v * 1000.0 for v in column] for column in _transposed(readings)]  # from mW
    powers = [sum(v or 0.0 for v in values) for values in zip(*columns, strict=True)]
    times = tuple(t for t, _ in readings.rows)
    trace = PowerTrace(
        channels=readings.columns, clock="meter", t_ns=times, power_uw=tuple(tuple(column) for column in columns)
    )
    return _laid_over(result, readings, trace, powers, known)


def _transposed(readings: Readings) -> list[list[int | None]]:
    return [[values[index] for _, values in readings.rows] for index in range(len(readings.columns))]


def _laid_over(
    result: AgentResult, readings: Readings, trace: PowerTrace, powers: list[float], meter: MeterInfo | None = None
) -> Measured:
    if result.energy is None:
        return Measured(result, trace, meter)
    shift = shift_between([t for t, _ in readings.rows], powers, result.energy)
    if isinstance(shift, str):
        return Measured(result, trace.model_copy(update={"problem": shift}), meter)
    return Measured(_with(result, readings, shift), trace.model_copy(update={"shift_ns": shift}), meter)


def by_unix_time(result: AgentResult, readings: Readings) -> AgentResult:
    """Return the result with readings that tell Unix time. Raises HarnessError when it does not tell its own."""
    if result.energy is None or result.energy.unix_offset_ns is None:
        raise HarnessError("the meter tells Unix time, and the runner did not say how that relates to its windows")
    return _with(result, readings, -result.energy.unix_offset_ns)


def _with(result: AgentResult, readings: Readings, shift_ns: int) -> AgentResult:
    if result.energy is None:
        return result
    return result.model_copy(update={"energy": merged(result.energy, readings, shift_ns)})
