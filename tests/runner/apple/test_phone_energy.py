"""The battery of a phone as a meter: by the real pymobiledevice3 where it is asked, by construction what it tells."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.iphone import UDID, StandInPhone
from seatrial_runner.deadline import Deadline
from seatrial_runner.meter import EnergyFigure, choose_for, energy_per_inference
from seatrial_runner.meter.beside import by_unix_time
from seatrial_runner.meter.iphone import PhoneBatteryMeter
from seatrial_runner.records import AgentResult, EnergyWindows, MeterInfo
from seatrial_runner.transport import open_transport
from seatrial_targets.errors import HarnessError
from seatrial_targets.inventory import Device

S = 1_000_000_000
BOOT = 1_767_225_600  # Unix time at which the phone's clock of the windows began


@pytest.fixture
def gauge() -> MeterInfo:
    (found,) = PhoneBatteryMeter().find([f"iphone\t{UDID}"])
    return found


def told(**changed: object) -> bytes:
    whole = {"UpdateTime": BOOT, "Amperage": -500, "Voltage": 4000, "ExternalConnected": False, **changed}
    return json.dumps(whole).encode() + b"\n"


def burst(seconds: int, inferences: int, unix_offset_ns: int | None = BOOT * S) -> AgentResult:
    """A burst between two idle windows, all of the same length."""
    edges = [n * seconds * S for n in range(4)]
    before, loaded, after = itertools.pairwise(edges)
    windows = EnergyWindows(
        counters=(),
        idle_before=before,
        burst=loaded,
        idle_after=after,
        inferences=inferences,
        samples=(),
        unix_offset_ns=unix_offset_ns,
    )
    return AgentResult(agent="apple", agent_version="1", status="ok", energy=windows)


@pytest.mark.slow
def test_the_real_program_reads_a_phone_that_is_unplugged(by_usb: Device, phone: StandInPhone) -> None:
    with open_transport(by_usb) as transport:
        plugged = choose_for(by_usb, transport, ["iphone"])
        phone.battery["ExternalConnected"] = False
        unplugged = choose_for(by_usb, transport, ["iphone"])
        assert unplugged.meter is not None, unplugged.reason
        script = PhoneBatteryMeter().script(unplugged.meter).replace("sleep 5", "exit")
        done = transport.run(["sh", "-c", script], deadline=Deadline.after(60.0))
    assert (plugged.meter, "unplug it" in plugged.reason) == (None, True)
    assert unplugged.meter.id == f"iphone:{UDID}"
    readings = PhoneBatteryMeter().parse(done.stdout, unplugged.meter)
    assert readings.rows == ((BOOT * S, (1_600_000,)),)  # 400 mA x 4 V


def test_where_the_program_is_missing_the_reason_says_so(own_home: Path) -> None:
    here = Device(name="phone", target="iphone-a15-fp16", transport="usbmux", serial=UDID)
    with open_transport(here) as transport:
        assert "pymobiledevice3" in choose_for(here, transport, ["iphone"]).reason


def test_ten_minutes_of_each_give_the_net_energy(gauge: MeterInfo) -> None:
    """1 W idle, 3 W for 600 s with 6000 inferences: 300 mJ gross, 200 mJ net, whatever the phone's clock is."""
    output = b"".join(told(UpdateTime=BOOT + t, Amperage=-750 if 600 < t <= 1200 else -250) for t in range(0, 1801, 20))
    laid = by_unix_time(burst(600, inferences=6000), PhoneBatteryMeter().parse(output, gauge))
    assert laid.energy is not None
    figure = energy_per_inference(laid.energy, gauge)
    assert isinstance(figure, EnergyFigure), figure
    assert (figure.gross_mj, figure.net_mj) == (pytest.approx(300, rel=0.05), pytest.approx(200, rel=0.05))
    assert figure.meter.scope.startswith("the whole device, screen and radios included")
    assert any("last minute" in doubt for doubt in figure.doubts)


def test_ten_seconds_are_too_short_for_such_a_gauge(gauge: MeterInfo) -> None:
    output = b"".join(told(UpdateTime=BOOT + t) for t in range(0, 41, 10))
    laid = by_unix_time(burst(10, inferences=100), PhoneBatteryMeter().parse(output, gauge))
    assert laid.energy is not None
    assert "told nothing for 10.0 s of the burst" in str(energy_per_inference(laid.energy, gauge))


def test_a_runner_that_does_not_tell_unix_time(gauge: MeterInfo) -> None:
    with pytest.raises(HarnessError, match="did not say how that relates"):
        by_unix_time(burst(1, inferences=1, unix_offset_ns=None), PhoneBatteryMeter().parse(told(), gauge))


@pytest.mark.parametrize(
    "changed",
    [
        {"ExternalConnected": True},
        {"ExternalConnected": None},
        {"Amperage": 500},
        {"Amperage": "-500"},
        {"Voltage": 0},
        {"UpdateTime": True},
        {"UpdateTime": -1},
    ],
)
def test_what_makes_no_sense_is_left_out(changed: dict[str, object], gauge: MeterInfo) -> None:
    assert PhoneBatteryMeter().parse(told(**changed), gauge).rows == ()


def test_a_current_told_as_an_unsigned_number(gauge: MeterInfo) -> None:
    rows = PhoneBatteryMeter().parse(told(Amperage=(1 << 64) - 500), gauge).rows
    assert rows == ((BOOT * S, (2_000_000,)),)


def test_an_update_counts_once_and_time_goes_forward(gauge: MeterInfo) -> None:
    output = told() + told(Amperage=-900) + told(UpdateTime=BOOT - 5) + told(UpdateTime=BOOT + 20)
    assert [t for t, _ in PhoneBatteryMeter().parse(output, gauge).rows] == [BOOT * S, (BOOT + 20) * S]


@given(
    st.binary(max_size=300) | st.recursive(st.none() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_output_is_understood_or_left_out(output: bytes) -> None:
    (gauge,) = PhoneBatteryMeter().find([f"iphone\t{UDID}"])
    assert PhoneBatteryMeter().parse(output, gauge).rows == ()


def test_a_serial_that_is_none_names_no_meter() -> None:
    assert PhoneBatteryMeter().find(["iphone\t'; rm -rf /'", "iphone\t", "battery\tx"]) == []
