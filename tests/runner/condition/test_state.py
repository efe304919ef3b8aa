import os
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.condition.state import parse_state, read_state
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device


def test_this_machine_is_read_as_it_is(tmp_path: Path):
    device = Device(name="here", target="x86-64-cpu-fp32", transport="local", root=str(tmp_path / "root"))
    with open_transport(device) as transport:
        state = read_state(transport)
    assert state.machine == platform.machine()
    assert state.cpu_count == len(os.sched_getaffinity(0))
    assert state.memory_total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < (state.memory_available or 0) < state.memory_total
    assert (state.disk_free or 0) > 0
    assert state.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_sensors_come_in_their_units():
    state = parse_state(
        b"machine\taarch64\ngovernor policy0\tondemand\nfrequency policy0\t1500000\n"
        b"temperature thermal_zone0 cpu-thermal\t48312\nbattery\t81\ncharging\tDischarging\nload\t0.52 0.1 0.2 1/2 3\n"
        b"memory_total\t1000\nmodel\tRaspberry Pi 5 Model B Rev 1.0\n"
    )
    assert state.governors == {"policy0": "ondemand"}
    assert state.frequencies_khz == {"policy0": 1_500_000}
    assert state.temperatures_c == {"thermal_zone0 cpu-thermal": 48.312}
    assert (state.battery_percent, state.charging, state.load_1m) == (81, False, 0.52)
    assert state.memory_total == 1_024_000


@pytest.mark.parametrize(("bits", "now"), [(b"0x50005", True), (b"50000", False), (b"0", False), (b"4", True)])
def test_throttling_now_is_told_from_throttling_since_boot(bits: bytes, now: bool):
    assert parse_state(b"pi_throttled\t" + bits).throttled is now


def test_what_throttles_is_counted():
    assert parse_state(b"pi_throttled\t0x50000").throttle_events == 2
    assert parse_state(b"throttle_count\t3\nthrottle_count\t0\nthrottle_count\t4").throttle_events == 7
    assert parse_state(b"machine\tx86_64").throttle_events is None


def test_cpus_load_memory_and_power():
    state = parse_state(
        b"cpu\tcpu  100 20 30 1000 50 5 5 10 90 0\nuptime\t12.5 3\nmemory_pressure\tsome avg10=1.25 avg60=0 total=9\n"
        b"swap_total\t100\nswap_free\t40\ncooling cooling_device0 fan\t2\nsupply Mains\t1\nsupply USB\t0\n"
        b"battery_temperature\t312\n"
    )
    assert (state.cpu_busy, state.cpu_total) == (1.7, 12.2)  # guest time is in the user's already
    assert (state.uptime_s, state.memory_pressure, state.swap_used) == (12.5, 1.25, 60 * 1024)
    assert (state.cooling, state.power_source, state.battery_temperature_c) == ({"cooling_device0 fan": 2}, "ac", 31.2)


@given(st.binary(max_size=400))
def test_whatever_a_device_says_is_a_state(data: bytes):
    parse_state(data)


@given(
    st.sampled_from(["battery", "load", "memory_total", "cpu_count", "temperature z t", "frequency p", "model"]),
    st.text(),
)
def test_hostile_values_are_dropped_or_made_printable(key: str, value: str):
    state = parse_state(f"{key}\t{value}".encode("utf-8", "surrogatepass"))
    assert state.model.isprintable()
    assert state.cpu_count is None or state.cpu_count > 0
