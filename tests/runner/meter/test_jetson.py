"""Rails of Jetsons by their labels, board by board, and what is no rail of a board."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.meter import energy_per_inference
from seatrial_runner.meter.jetson import NO_TOTAL, JetsonRails
from seatrial_runner.records import EnergySample, EnergyWindows, MeterInfo

SECOND = 1_000_000_000


def ina(label: str, channel: int, chip: str = "1-0040", hwmon: int = 3, setup: str = "422\t64") -> str:
    path = f"/sys/bus/i2c/drivers/ina3221/{chip}/hwmon/hwmon{hwmon}/in{channel}_input"
    return f"jetson\tina3221\t{chip}\t{label}\t{path}\t{setup}"


ORIN_NANO = [ina("VDD_IN", 1), ina("VDD_CPU_GPU_CV", 2), ina("VDD_SOC", 3)]
AGX_ORIN = [
    ina("VDD_GPU_SOC", 1), ina("VDD_CPU_CV", 2), ina("VIN_SYS_5V0", 3),
    ina("NC", 1, "1-0041", 4), ina("VDDQ_VDD2_1V8AO", 2, "1-0041", 4), ina("NC", 3, "1-0041", 4),
]  # fmt: skip
NANO = [
    f"jetson\tiio\t6-0040\t{label}\t/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power{n}_input\t0\t0"
    for n, label in enumerate(["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"])
]
THOR = [
    ina("VDD_GPU", 1), ina("VDD_CPU_SOC_MSS", 2), ina("VIN_SYS_5V0", 3),
    "jetson\tina238\thwmon5\tVIN\t/sys/bus/i2c/drivers/ina238/1-0044/hwmon/hwmon5/power1_input\t0\t0",
]  # fmt: skip


def found(lines: list[str]) -> MeterInfo:
    (meter,) = JetsonRails().find(lines)
    return meter


@pytest.mark.parametrize(
    ("lines", "counted", "beside"),
    [
        (ORIN_NANO, ["VDD_IN"], ["VDD_CPU_GPU_CV", "VDD_SOC"]),
        (NANO, ["POM_5V_IN"], ["POM_5V_GPU", "POM_5V_CPU"]),
        (THOR, ["VIN"], ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"]),
        (AGX_ORIN, ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"], []),
    ],
    ids=["Orin Nano", "Nano", "Thor", "AGX Orin"],
)
def test_the_total_of_each_board(lines: list[str], counted: list[str], beside: list[str]) -> None:
    meter = found(lines)
    assert [channel.name for channel in meter.channels if channel.in_total] == counted
    assert [channel.name for channel in meter.channels if not channel.in_total] == beside


def test_agx_orin_has_no_total_and_says_so() -> None:
    meter = found(AGX_ORIN)
    assert meter.doubt == NO_TOTAL
    assert meter.scope == "sum of VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0 + VDDQ_VDD2_1V8AO"
    assert found(ORIN_NANO).doubt == ""


def test_a_board_that_we_do_not_know_has_no_invented_total() -> None:
    assert JetsonRails().find([ina("VDD_GPU", 1), ina("VDD_CPU", 2)]) == ()
    assert JetsonRails().find(AGX_ORIN[:3]) == ()
    assert JetsonRails().find([]) == ()


def test_a_monitor_that_averages_is_no_point_meter() -> None:
    assert (found(ORIN_NANO).kind, found(ORIN_NANO).rate_hz) == ("averaging", pytest.approx(1000 / 422))
    plain = [ina("VDD_IN", 1, setup="7\t1")]
    assert (found(plain).kind, found(plain).rate_hz) == ("point", pytest.approx(1000 / 7))
    assert found(NANO).kind == "point"


@pytest.mark.parametrize(
    ("lines", "values", "milliwatts"),
    [
        (ORIN_NANO, (5000, 1000, 5000, 400, 5000, 200), 5000),  # mV, mA: the parts do not count again
        (NANO, (4200, 900, 800), 4200),
        (THOR, (5000, -78, 5000, 1000, 5000, 500, 30_000_000), 30_000),
        (AGX_ORIN, (12_000, 100, 12_000, 200, 5000, 600, 1800, 1000), 1200 + 2400 + 3000 + 1800),
    ],
    ids=["Orin Nano", "Nano", "Thor", "AGX Orin"],
)
def test_constant_power_gives_exactly_its_energy(lines: list[str], values: tuple[int, ...], milliwatts: int) -> None:
    meter = found(lines).model_copy(update={"kind": "averaging"})
    samples = tuple(EnergySample(t_ns=at * SECOND // 10, values=values) for at in range(320))
    windows = EnergyWindows(
        counters=tuple(meter.files()),
        idle_before=(0, 10 * SECOND),
        burst=(10 * SECOND, 20 * SECOND),
        idle_after=(20 * SECOND, 30 * SECOND),
        inferences=1000,
        samples=samples,
    )
    figure = energy_per_inference(windows, meter)
    assert not isinstance(figure, str), figure
    assert figure.gross_mj == pytest.approx(milliwatts * 10 / 1000)
    assert figure.net_mj == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "line",
    [
        "jetson\tina3221\t1-0040\tVDD_IN\t/etc/passwd\t0\t0",
        "jetson\tina3221\t1-0040\tVDD_IN\t/sys/bus/i2c/drivers/ina3221/../../x/hwmon/hwmon1/in1_input\t0\t0",
        "jetson\tina3221\t1-0040\tVDD IN;rm\t/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input\t0\t0",
        "jetson\tina3221\t1-0040\tVDD_IN\t/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in7_input\t0\t0",
        "jetson\tother\t1-0040\tVDD_IN\t/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input\t0\t0",
        "jetson\tina3221\tVDD_IN",
    ],
)
def test_lines_that_name_no_rail_of_ours(line: str) -> None:
    assert JetsonRails().find([line]) == ()


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_lines(lines: list[str]) -> None:
    JetsonRails().find([*lines, *ORIN_NANO, *("jetson\tina3221\t" + line for line in lines)])


def test_the_script_finds_rails_wherever_hwmon_has_put_them(tmp_path: Path) -> None:
    """The script itself, on a tree like that of JetPack 6; paths are moved below a folder of the test."""
    chip = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon7"
    chip.mkdir(parents=True)
    files = {"update_interval": 422, "samples": 64, "name": "ina3221"}
    for n, label in enumerate(["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], 1):
        files |= {f"in{n}_label": label, f"in{n}_input": 5000, f"curr{n}_input": 1000 // n}
    for name, value in (files | {"in7_label": "sum of shunt voltages", "in7_input": 3}).items():
        (chip / name).write_text(f"{value}\n")
    script = JetsonRails.LIST.replace("/sys/bus", f"{tmp_path}/sys/bus")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    lines = [line.replace(str(tmp_path), "") for line in done.stdout.splitlines()]
    assert [channel.name for channel in found(lines).channels] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert found(lines).channels[0].paths[1].endswith("/hwmon7/curr1_input")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_rails_that_may_not_be_read_are_told(tmp_path: Path) -> None:
    chip = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon7"
    chip.mkdir(parents=True)
    (chip / "in1_label").write_text("VDD_IN\n")
    (chip / "in1_input").write_text("5\n")
    (chip / "in1_input").chmod(0)
    script = JetsonRails.LIST.replace("/sys/bus", f"{tmp_path}/sys/bus")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("denied\t")
