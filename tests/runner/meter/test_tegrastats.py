"""Lines of tegrastats in the shapes that JetPack 4 to 7.2 print; the numbers are made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.meter.tegrastats import Tegrastats, parse_tegrastats

TX2 = (
    "RAM 1903/7846MB (lfb 1195x4MB) SWAP 0/3923MB (cached 0MB) CPU [3%@345,off,off,1%@345] EMC_FREQ 3%@665"
    " GR3D_FREQ 12%@114 APE 150 BCPU@36C MCPU@36C GPU@34.5C PLL@36C thermal@35.4C VDD_IN 3140/3208 VDD_CPU 382/395"
)
ORIN_NANO_JP6 = (
    "01-08-2026 10:11:12 RAM 3456/7620MB (lfb 4x4MB) SWAP 12/3810MB (cached 0MB) CPU [10%@1510,0%@729]"
    " EMC_FREQ 5%@2133 GR3D_FREQ 84%@[713] NVDEC off VIC off cpu@65.562C soc2@63.9C gpu@66.1C tj@66.1C"
    " VDD_IN 17946mW/15710mW VDD_CPU_GPU_CV 8896mW/7585mW VDD_SOC 3923mW/3515mW"
)
AGX_ORIN = (
    "RAM 2908/30536MB (lfb 5900x4MB) CPU [0%@1190] GR3D_FREQ 0%@[0,0] CV0@-256C cpu@44.1C gpu@-256C"
    " VDD_GPU_SOC 2340mW/2340mW VDD_CPU_CV 780mW/780mW VIN_SYS_5V0 4032mW/4032mW NC 0mW/0mW VDDQ_VDD2_1V8AO 604mW/604mW"
)
JP7_2 = (
    "02-03-2026 01:02:03 RAM 3000/7620MB (lfb 1x4MB) GR3D_FREQ 3%@[305] cpu@52.968C/52.968C tj@53.1C/53.1C"
    " VDD_IN 5139mW/5140mW/5141mW VDD_CPU_GPU_CV 900mW/901mW/902mW"
)
THOR = "RAM 9000/125000MB (lfb 3x4MB) GR3D_FREQ @[1000,1000,1000] gpu@41.5C VDD_GPU -392mW/-390mW VIN 31200mW/31000mW"


def test_tx2_has_no_units() -> None:
    found = parse_tegrastats(TX2)
    assert found.rails_mw == {"VDD_IN": 3140, "VDD_CPU": 382}
    assert (found.gpu_percent, found.gpu_mhz) == (12, (114,))
    assert found.temperatures_c["gpu"] == 34.5
    assert (found.ram_used_mb, found.ram_total_mb) == (1903, 7846)


def test_orin_nano_with_a_date_before() -> None:
    found = parse_tegrastats(ORIN_NANO_JP6)
    assert found.rails_mw == {"VDD_IN": 17946, "VDD_CPU_GPU_CV": 8896, "VDD_SOC": 3923}
    assert (found.gpu_percent, found.gpu_mhz) == (84, (713,))
    assert found.temperatures_c == {"cpu": 65.562, "soc2": 63.9, "gpu": 66.1, "tj": 66.1}


def test_a_sensor_that_is_off_has_no_temperature() -> None:
    found = parse_tegrastats(AGX_ORIN)
    assert found.temperatures_c == {"cpu": 44.1}
    assert found.gpu_mhz == (0, 0)
    assert "NC" not in found.rails_mw


def test_three_numbers_per_rail_and_two_per_temperature() -> None:
    found = parse_tegrastats(JP7_2)
    assert found.rails_mw == {"VDD_IN": 5139, "VDD_CPU_GPU_CV": 900}
    assert found.temperatures_c == {"cpu": 52.968, "tj": 53.1}


def test_thor_tells_no_load_and_less_than_nothing() -> None:
    found = parse_tegrastats(THOR)
    assert (found.gpu_percent, found.gpu_mhz) == (None, (1000, 1000, 1000))
    assert found.rails_mw == {"VDD_GPU": -392, "VIN": 31200}


@pytest.mark.parametrize("line", ["", "tegrastats: command not found", "RAM", "GR3D_FREQ %@[]", "GR3D_FREQ 700%"])
def test_lines_that_are_none(line: str) -> None:
    found = parse_tegrastats(line)
    assert found.rails_mw == {}
    assert found.gpu_percent is None


NAMES = st.from_regex(r"\A[A-Z][A-Z0-9_]{2,15}\Z").filter(lambda name: name not in ("RAM", "SWAP", "NC"))
UNITS = st.sampled_from(["", "mW"])


@given(
    st.dictionaries(NAMES, st.tuples(st.integers(-9999, 999_999), st.integers(1, 3)), max_size=5), UNITS, st.booleans()
)
def test_rails_survive(rails: dict[str, tuple[int, int]], unit: str, dated: bool) -> None:
    rails = {name: (value, max(2, fields)) for name, (value, fields) in rails.items()}
    words = [f"{name} " + "/".join([f"{value}{unit}"] * fields) for name, (value, fields) in rails.items()]
    line = " ".join([*(["01-02-2026 03:04:05"] if dated else []), "RAM 1/2MB", *words])
    assert parse_tegrastats(line).rails_mw == {name: value for name, (value, _) in rails.items()}


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    for line in (text, ORIN_NANO_JP6 + text, text + THOR):
        assert isinstance(parse_tegrastats(line), Tegrastats)
