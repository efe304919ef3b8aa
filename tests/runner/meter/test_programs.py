"""Meters that are programs: on the device, and on this host; and how readings of another clock are laid over a run."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.meter import energy_per_inference, external
from seatrial_runner.meter.align import shift_between
from seatrial_runner.meter.beside import execute_beside
from seatrial_runner.meter.energy import EnergyFigure
from seatrial_runner.meter.joulescope import Statistics
from seatrial_runner.meter.odpm import OdpmMeter
from seatrial_runner.meter.perfetto import PerfettoMeter, fields, rails_of
from seatrial_runner.meter.powermetrics import PowermetricsMeter
from seatrial_runner.meter.ppk2 import averages, samples
from seatrial_runner.meter.programs import DeviceProgram, merged
from seatrial_runner.plan import Plan
from seatrial_runner.records import AgentResult, EnergyWindows
from seatrial_runner.run import RunRequest
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import open_trial
from seatrial_targets.errors import HarnessError
from seatrial_targets.inventory import Device
from seatrial_targets.meter import ExternalMeter

S = 10**9
WINDOWS = EnergyWindows(
    counters=(),
    idle_before=(100 * S, 110 * S),
    burst=(110 * S, 120 * S),
    idle_after=(120 * S, 130 * S),
    inferences=1000,
    samples=(),
)


def pulse(offset_s: float, idle: float = 1.0, burst: float = 5.0, noise: float = 0.0, hz: float = 100.0):
    """Readings from 20 s before the windows to 10 s after, on a clock that is ``offset_s`` behind the windows'."""
    dice = random.Random(1)
    times, powers = [], []
    for i in range(int(60 * hz)):
        t = 80 + i / hz
        watts = burst if 110 <= t < 120 or 90 <= t < 93 else idle  # the warm-up is a pulse of its own
        times.append(round((t - offset_s) * S))
        powers.append((watts + dice.gauss(0, noise)) * 1e6)
    return times, powers


@pytest.mark.parametrize("offset", [0.0, 7.25, -3600.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_edges_of_the_power_tell_the_shift(offset: float, noise: float) -> None:
    shift = shift_between(*pulse(offset, noise=noise), WINDOWS)
    assert isinstance(shift, int), shift
    assert shift == pytest.approx(offset * S, abs=30_000_000)


def test_without_an_edge_there_is_no_shift() -> None:
    assert "no edge" in str(shift_between(*pulse(0, burst=1.0, noise=0.5), WINDOWS))
    assert "is the meter wired to this device" in str(shift_between(*pulse(0, burst=1.0), WINDOWS))
    assert "only 3 readings" in str(shift_between([1, 2, 3], [1, 2, 3], WINDOWS))
    assert "the readings span 1.0 s" in str(shift_between(*pulse_part(100), WINDOWS))


def pulse_part(count: int):
    times, powers = pulse(0)
    return times[:count], powers[:count]


ODPM = b"""t=2743
CH0(T=2743)[S10M_VDD_TPU], 5578756
CH1(T=2743)[VSYS_PWR_MODEM], 29110940
"""


def test_odpm_rails_are_counters_by_the_time_since_boot() -> None:
    path = "/sys/bus/iio/devices/iio:device0/energy_value"
    (meter,) = OdpmMeter().find([f"odpm\t{path}\t{line}" for line in ODPM.decode().splitlines()])
    assert [channel.name for channel in meter.channels] == ["S10M_VDD_TPU", "VSYS_PWR_MODEM"]
    assert meter.files() == {}  # its file is no single number
    output = (
        b"\x02100.25 7\n" + ODPM + b"\x02100.36 7\n" + ODPM.replace(b"5578756", b"5579000") + b"\x02junk\n\x02101.0"
    )
    readings = OdpmMeter().parse(output, meter)
    assert readings.clock == "device"
    assert readings.rows == ()  # the stamp must be a time alone
    good = output.replace(b" 7\n", b"\n")
    assert OdpmMeter().parse(good, meter).rows == (
        (100_250_000_000, (5578756, 29110940)),
        (100_360_000_000, (5579000, 29110940)),
    )


def test_the_loop_over_odpm_files_runs_in_a_posix_shell(here: Device, tmp_path: Path) -> None:
    (tmp_path / "energy_value").write_bytes(ODPM)
    path = "/sys/bus/iio/devices/iio:device0/energy_value"
    (meter,) = OdpmMeter().find([f"odpm\t{path}\tCH0(T=1)[A], 1"])
    script = OdpmMeter().script(meter).replace(path, str(tmp_path / "energy_value"))
    with open_transport(here) as transport:
        with DeviceProgram(transport, script, "0123456789abcdef", 60) as program:
            _wait(0.5)
        assert program.problem == ""
        rails = [channel.model_copy(update={"name": "S10M_VDD_TPU"}) for channel in meter.channels]
        readings = OdpmMeter().parse(program.output, meter.model_copy(update={"channels": tuple(rails)}))
        assert len(readings.rows) >= 2
        assert {values for _, values in readings.rows} == {(5578756,)}
        assert list(Path(transport.root).iterdir()) == []


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def test_a_program_that_dies_says_why(here: Device) -> None:
    with open_transport(here) as transport:
        with DeviceProgram(transport, "echo no such sensor >&2; exit 3", "0123456789abcdef", 60) as program:
            _wait(0.1)
        assert program.problem == "it printed nothing; it said: no such sensor"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def nested(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def packet(content: bytes, at_ns: int = 0) -> bytes:
    return nested(1, number(8, at_ns) + content)


RAILS = packet(
    nested(40, nested(1, number(1, 7) + nested(2, b"power.rails.cpu.big") + nested(3, b"cpu") + number(4, 1023)))
) + b"".join(
    packet(nested(40, nested(2, number(1, 7) + number(2, ms) + number(3, ms * 5) + varint(9 << 3 | 5) + b"\0\0\0\0")))
    for ms in (1000, 1250)
)


def test_perfettos_rails_are_read_from_its_trace() -> None:
    (meter,) = PerfettoMeter().find(["perfetto\trails"])
    readings = PerfettoMeter().parse(RAILS + packet(b"\x0a\x03abc"), meter)
    assert (readings.clock, readings.columns) == ("device", ("power.rails.cpu.big",))
    assert readings.rows == ((1_000_000_000, (5000,)), (1_250_000_000, (6250,)))
    known = rails_of(meter, readings)
    assert [(channel.name, channel.quantity) for channel in known.channels] == [("power.rails.cpu.big", "energy")]


def test_perfettos_battery_serves_where_there_are_no_rails() -> None:
    (meter,) = PerfettoMeter().find(["perfetto\tbattery"])
    trace = b"".join(
        packet(nested(38, number(1, 3_000_000 - i) + number(7, 4_100_000)), at_ns=i * 250_000_000) for i in range(3)
    )
    readings = PerfettoMeter().parse(trace, meter)
    assert readings.rows[2] == (500_000_000, (2_999_998, 4_100_000))
    assert rails_of(meter, readings) == meter


@given(st.binary(max_size=300))
def test_whatever_a_trace_holds_is_read_to_an_end(trace: bytes) -> None:
    list(fields(trace))
    (meter,) = PerfettoMeter().find(["perfetto\trails"])
    PerfettoMeter().parse(trace, meter)
    OdpmMeter().parse(b"\x02" + trace, meter)
    PowermetricsMeter().parse(trace, meter)
    external.parse_line(trace, 1.0)


POWERMETRICS = """Machine model: Mac14,2
*** Sampled system activity (Thu Nov 26 10:00:00 2026 +0100) (101.50ms elapsed) ***

**** Processor usage ****
CPU 0 frequency: 912 MHz
CPU Power: 1234 mW
GPU Power: 56 mW
ANE Power: 0 mW
Combined Power (CPU + GPU + ANE): 1290 mW

*** Sampled system activity (Thu Nov 26 10:00:00 2026 +0100) (100.00ms elapsed) ***
CPU Power: 2000 mW
GPU Power: 50 mW
"""


def test_powermetrics_intervals_add_up() -> None:
    (meter,) = PowermetricsMeter().find(["powermetrics\tsudo"])
    assert PowermetricsMeter().script(meter).startswith("exec sudo -n powermetrics -i 100 ")
    readings = PowermetricsMeter().parse(POWERMETRICS.encode(), meter)
    assert readings.rows == ((101_500_000, (1234, 56, 0)), (201_500_000, (2000, 50, None)))
    assert PowermetricsMeter().find(["denied\tpowermetrics"]) == ()


def test_readings_come_into_the_windows_by_their_shift() -> None:
    (meter,) = PowermetricsMeter().find(["powermetrics\troot"])
    readings = PowermetricsMeter().parse(POWERMETRICS.encode(), meter)
    windows = merged(WINDOWS, readings, 5 * S)
    assert windows.counters == ("CPU", "GPU", "ANE")
    assert windows.samples[1].t_ns == 5_201_500_000
    assert windows.samples[1].values == (2000, 50, None)


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        (b"1.5 0.25\n", (1.5, 0.25)),
        (b" 1.5,0.25", (1.5, 0.25)),
        (b"1e1;2\r\n", (10.0, 2.0)),
        (b"0.75\n", (9.0, 0.75)),
        (b"time,power\n", None),
        (b"1 2 3\n", None),
        (b"nan inf\n", None),
        (b"1e300 1\n", None),
        (b"\xff\xfe 1", None),
    ],
)
def test_a_line_is_seconds_and_watts_or_watts(line: bytes, reading: tuple[float, float] | None) -> None:
    found = external.parse_line(line, 9.0)
    assert (found and (found.seconds, found.watts)) == reading


def test_time_that_goes_back_is_left_out() -> None:
    readings = [external.Reading(s, 1.0) for s in (5.0, 6.0, 5.5, 7.0)]
    assert external.in_order(readings) == ([0, S, 2 * S], [1e6, 1e6, 1e6])


# A stand-in for a meter: its power follows what it is told through a file, with no relation to any energy.
METER = """
import sys, time
from pathlib import Path
begin = time.monotonic()
while True:
    busy = Path(sys.argv[1]).exists()
    print(f"{time.monotonic() - begin + 1000:.4f} {5.0 if busy else 1.0}", flush=True)
    time.sleep(0.004)
"""


@pytest.fixture
def metered(here: Device, tmp_path: Path) -> Callable[..., Device]:
    """This machine with a meter of its own beside it."""
    (tmp_path / "meter.py").write_text(METER)

    def make(*argv: str) -> Device:
        command = argv or (sys.executable, str(tmp_path / "meter.py"), str(tmp_path / "busy"))
        row = ExternalMeter(command=command, scope="a stand-in", rate_hz=250.0)
        return here.model_copy(update={"meter": row})

    return make


QUICK = Plan(solo_runs=1, memory_runs=0, warmup_iterations=1, warmup_min_ns=0, energy_window_ns=1_000_000_000).but(
    warmup_max_ns=10_000_000
)


def test_a_meter_beside_the_device_is_laid_over_the_run(metered: Callable[..., Device], tmp_path: Path) -> None:
    """The stand-in of a run makes the stand-in of a meter draw 5 W for a second, by a clock that is 77 s ahead."""
    device, busy = metered(), tmp_path / "busy"

    def execute(request: RunRequest) -> AgentResult:
        edges = [_now()]
        for step in (busy.exists, busy.touch, busy.unlink):
            step()
            time.sleep(1.0)
            edges.append(_now())
        windows = {"idle_before": edges[0:2], "burst": edges[1:3], "idle_after": edges[2:4]}
        energy = EnergyWindows(counters=(), inferences=100, samples=(), **windows)
        return AgentResult(agent="native", agent_version="2", status="ok", energy=energy)

    assert device.meter is not None
    meter = external.external_info(device.meter)
    with open_transport(device) as transport:
        measured = execute_beside(execute, RunRequest("energy", {"a": "candidate"}, QUICK), device, transport, meter)
    assert measured.power is not None
    assert (measured.power.problem, measured.power.clock) == ("", "host")
    assert measured.power.shift_ns is not None
    assert measured.result.energy is not None
    figure = energy_per_inference(measured.result.energy, meter)
    assert isinstance(figure, EnergyFigure), figure
    assert figure.gross_mj == pytest.approx(50, rel=0.1)  # 5 J over 100
    assert figure.net_mj == pytest.approx(40, rel=0.1)
    assert figure.doubts == ("a window was only 1.0 s long; 10 s are needed",)


def _now() -> int:
    return time.monotonic_ns() + 77 * S


def test_the_reading_after_a_run_is_waited_for() -> None:
    """A slow meter's next reading comes after the run has ended; a program that has ended gives none."""
    argv = [sys.executable, "-c", "import time\nfor i in range(4): print(i, 1.0, flush=True); time.sleep(0.3)"]
    with external.HostProgram(argv) as program:
        program.wait_for_readings(20)
        program.wait_for_another(20)
        assert len(program.readings) >= 3
        program.wait_for_another(20)
        program.wait_for_another(20)
        assert len(program.readings) == 4


def test_a_meter_that_gives_nothing_ends_the_trial_before_anything_is_measured(
    metered: Callable[..., Device], make_bundle
) -> None:
    device = metered("sh", "-c", "echo no device >&2; exit 4")
    said = pytest.raises(HarnessError, match="gives no readings; it said: no device")
    with said, open_trial(device, {"candidate": make_bundle()}, QUICK) as runner:
        runner.energy(1)
    assert not runner.trial.of("energy")


def test_the_ppk2_is_averaged_over_milliseconds() -> None:
    """A stand-in for Nordic's package: 250 samples of 1 mA, as the package gives them, with digital channels."""
    kit = SimpleNamespace(
        data=[b"x", b"", b"y"],
        get_data=lambda: kit.data.pop(0) if kit.data else _stop(),
        get_samples=lambda data: ([1000.0] * 125, [0] * 125),
    )
    found = []
    with pytest.raises(StopIteration):
        for pair in averages(_until_stop(samples(kit)), 3.3):
            found.append(pair)
        raise StopIteration
    assert found == [(0.001, pytest.approx(0.0033)), (0.002, pytest.approx(0.0033))]


class Stop(Exception):  # noqa: N818
    pass


def _stop() -> bytes:
    raise Stop


def _until_stop(values: Any):
    try:
        yield from values
    except Stop:
        return


def test_the_joulescopes_energy_becomes_power() -> None:
    """A stand-in for pyjoulescope's statistics: 2 J in half a second."""
    said: list[str] = []
    statistics = Statistics(said.append)
    for seconds, joules in ((1.0, 10.0), (1.5, 12.0), (1.5, 12.0), (2.0, 12.5)):
        energy = {"energy": {"value": joules, "units": "J"}}
        statistics.take({"time": {"range": {"value": [seconds - 0.5, seconds]}}, "accumulators": energy})
    assert said == ["1.500000 4\n", "2.000000 1\n"]


def test_a_meter_whose_package_is_missing_says_what_to_install(tmp_path: Path) -> None:
    row = ExternalMeter(ppk2="/dev/null", voltage_v=3.3)
    missing = pytest.raises(HarnessError, match=r"pip install 'seatrial\[ppk2\]'")
    with external.HostProgram(external.command_of(row)) as program, missing:
        program.wait_for_readings(60)
