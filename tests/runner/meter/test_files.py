"""Meters that are files on a device, as real listings print them; and what their numbers mean."""

from __future__ import annotations

import pytest

from seatrial_runner.meter import TABLE, Meter, choose, energy_per_inference, get_meter
from seatrial_runner.meter.battery import BatteryMeter
from seatrial_runner.meter.energy import EnergyFigure
from seatrial_runner.meter.power_files import HwmonPowerMeter, IioPowerMeter
from seatrial_runner.records import EnergySample, EnergyWindows, MeterInfo
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device

S = 10**9


def windows(meter: MeterInfo, read: dict[str, list[int]], seconds: int = 30, inferences: int = 1000) -> EnergyWindows:
    """Columns of readings, one each second, over idle, burst, idle of a third each."""
    third = seconds // 3
    counters = tuple(name for channel in meter.read for name in channel.counters)
    return EnergyWindows(
        counters=counters,
        idle_before=(0, third * S),
        burst=(third * S, 2 * third * S),
        idle_after=(2 * third * S, 3 * third * S),
        inferences=inferences,
        samples=tuple(EnergySample(t_ns=i * S, values=tuple(read[c][i] for c in counters)) for i in range(seconds + 1)),
    )


def test_an_ina238_averages_and_tells_its_rate() -> None:
    lines = [
        "power\t/sys/class/hwmon/hwmon3/power1_input\tina238\tVIN\t20",
        "power\t/sys/class/hwmon/hwmon4/power1_input\tnvme\t\t",
        "power\t/etc/passwd\tx\t\t",
    ]
    meters = HwmonPowerMeter().find(lines)
    assert [(m.id, m.kind, m.scope, m.rate_hz) for m in meters] == [
        ("power:ina238:VIN", "averaging", "VIN", 50.0),
        ("power:nvme:power1", "point", "rail of nvme", None),
    ]
    assert meters[0].files() == {"power:ina238:VIN": "/sys/class/hwmon/hwmon3/power1_input"}


def test_an_average_goes_before_the_moment_of_the_same_channel() -> None:
    lines = [f"power\t/sys/class/hwmon/hwmon1/power1_{file}\tacpi\t\t" for file in ("average", "input")]
    (meter,) = HwmonPowerMeter().find(lines)
    assert meter.kind == "averaging"
    assert list(meter.files().values()) == ["/sys/class/hwmon/hwmon1/power1_average"]


def test_iio_power_is_in_milliwatts_times_its_scale() -> None:
    path = "/sys/bus/iio/devices/iio:device0/in_power2_raw"
    (meter,) = IioPowerMeter().find([f"iio\t{path}\tina226\t1.250000000\t455"])
    assert (meter.kind, meter.rate_hz, meter.files()) == ("averaging", 455.0, {"iio:ina226:power2": path})
    read = {"iio:ina226:power2": [800] * 10 + [4000] * 10 + [800] * 11}  # x 1.25 mW: 1 W idle, 5 W in the burst
    figure = energy_per_inference(windows(meter, read), meter)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(50, rel=0.05)


@pytest.fixture
def gauge() -> MeterInfo:
    folder = "/sys/class/power_supply/battery"
    counter, current = BatteryMeter().find([f"battery\t{folder}\tcurrent_now", f"battery\t{folder}\tcharge_counter"])
    assert (counter.kind, current.kind) == ("counter", "point")
    assert list(counter.files().values()) == [f"{folder}/charge_counter", f"{folder}/voltage_now"]
    return counter


def test_a_gauge_counts_charge_and_energy_is_that_times_voltage(gauge: MeterInfo) -> None:
    """1 A at 4 V for the burst's 3600 s, .25 A before and after: 4 W less 1 W, in steps of 1 mAh."""
    seconds = 3 * 3600
    drawn = [
        i * 0.25 / 3.6 if i <= 3600 else 250 + (i - 3600) / 3.6 if i <= 7200 else 1250 + (i - 7200) / 14.4
        for i in range(seconds + 1)
    ]
    read = {
        "battery:charge_counter": [5_000_000 - int(mah) * 1000 for mah in drawn],
        "battery:voltage_now": [4_000_000] * (seconds + 1),
    }
    figure = energy_per_inference(windows(gauge, read, seconds, inferences=1000), gauge)
    assert isinstance(figure, EnergyFigure)
    assert figure.gross_mj == pytest.approx(4 * 3600, rel=0.005)
    assert figure.net_mj == pytest.approx(3 * 3600, rel=0.01)
    assert any("gauge" in doubt for doubt in figure.doubts)


def test_a_gauge_that_moved_in_few_steps_is_no_figure(gauge: MeterInfo) -> None:
    """1 mAh each 4 s is a step, and 10 s are two of them."""
    read = {
        "battery:charge_counter": [5_000_000 - i // 4 * 1000 for i in range(31)],
        "battery:voltage_now": [4_000_000] * 31,
    }
    assert "moved in 3 steps during the burst, and 20 are needed" in str(
        energy_per_inference(windows(gauge, read), gauge)
    )


def test_the_sign_of_a_gauges_current_is_its_drivers_taste(gauge: MeterInfo) -> None:
    folder = "/sys/class/power_supply/battery"
    (meter,) = BatteryMeter().find([f"battery\t{folder}\tcurrent_now"])
    fast = meter.model_copy(update={"kind": "averaging"})
    for sign in (1, -1):
        current = [sign * (1_000_000 if 10 <= i < 20 else 250_000) for i in range(31)]
        read = {"battery:current_now": current, "battery:voltage_now": [4_000_000] * 31}
        figure = energy_per_inference(windows(fast, read), fast)
        assert isinstance(figure, EnergyFigure)
        assert figure.gross_mj == pytest.approx(40, rel=0.1)
    slow = energy_per_inference(windows(meter, read), meter)
    assert "point readings at 1 Hz alias" in str(slow)


def test_every_meter_of_the_table_lists_in_a_posix_shell(here: Device) -> None:
    for name in TABLE:
        meter = get_meter(name)
        assert isinstance(meter, Meter)
        assert meter.name == name
        assert meter.find(["", name, f"{name}\t", f"{name}\t\x00\t../..\t9" * 3]) in ((), [])
    with open_transport(here) as transport:
        choice = choose(transport)
    assert (choice.meter is None) == bool(choice.reason)
