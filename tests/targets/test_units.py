"""Text with units to numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial_targets import units
from seatrial_targets.errors import UserError

WHOLE = st.integers(0, 2**53 - 1)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("18 ms", 18_000_000),
        ("18ms", 18_000_000),
        (" 1.5 s ", 1_500_000_000),
        ("2 min", 120_000_000_000),
        ("1e3 us", 1_000_000),
        ("3 \N{MICRO SIGN}s", 3_000),
        ("3 \N{GREEK SMALL LETTER MU}s", 3_000),
        (".5 ns", 0),
        ("0.1 us", 100),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert units.duration_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "size"),
    [("350 MB", 350_000_000), ("1 MiB", 1_048_576), ("1.5 KiB", 1536), ("7 B", 7), ("2 GB", 2 * 10**9), ("1 kB", 1000)],
)
def test_sizes(text: str, size: int) -> None:
    assert units.size_bytes(text) == size


def test_energy_power_ratio_decibel() -> None:
    assert units.energy_mj("40 mJ") == 40.0
    assert units.energy_mj("0.04 J") == 40.0
    assert units.power_mw("15 W") == 15_000.0
    assert units.ratio("5 %") == 0.05
    assert units.ratio("0.05") == units.ratio(0.05) == 0.05
    assert units.decibel("15 dB") == units.decibel(15) == 15.0
    assert units.decibel("-3.5 dB") == -3.5


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (units.duration_ns, "18", "18 has no unit; write '18 ms'"),
        (units.duration_ns, "18 msec", "did you mean 'ms'"),
        (units.duration_ns, "18 MS", "did you mean 'ms'"),
        (units.duration_ns, "18 MB", "'MB' is not a unit of duration; use one of ns"),
        (units.duration_ns, "-1 ms", "negative"),
        (units.duration_ns, "1e30 s", "out of range"),
        (units.duration_ns, "1e999999999 s", "not a duration"),
        (units.duration_ns, "1" * 5000 + " ms", "not a duration"),
        (units.duration_ns, "", "not a duration"),
        (units.duration_ns, "1 2 ms", "not a duration"),
        (units.duration_ns, "nan ms", "not a duration"),
        (units.duration_ns, "١٨ ms", "not a duration"),
        (units.size_bytes, "3 mb", "did you mean 'MB'"),
        (units.size_bytes, "3", "write '3 MB'"),
        (units.energy_mj, "3 mWh", "is not a unit of energy"),
        (units.ratio, "150 %", "not between 0 and 1"),
        (units.ratio, -0.1, "not between 0 and 1"),
        (units.ratio, True, "not a number"),
        (units.ratio, "nan", "not a ratio"),
        (units.decibel, "15 V", "'V' is not a unit of level"),
    ],
)
def test_what_is_refused(read: object, text: object, message: str) -> None:
    assert callable(read)
    with pytest.raises(UserError) as caught:
        read(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


@settings(deadline=None)
@given(WHOLE)
def test_exact_text_reads_back(number: int) -> None:
    assert units.duration_ns(units.exact_duration(number)) == number
    assert units.size_bytes(units.exact_size(number)) == number


def test_exact_text_is_short() -> None:
    assert units.exact_size(4 * 2**30) == "4 GiB"
    assert units.exact_size(512_000_000) == "512 MB"
    assert units.exact_size(1025) == "1025 B"
    assert units.exact_duration(18_000_000) == "18 ms"
    assert units.exact_duration(0) == "0 ns"


@settings(deadline=None)
@given(st.floats(0, 1e9, allow_subnormal=False))
def test_exact_energy_reads_back(energy: float) -> None:
    assert units.energy_mj(units.exact_energy(energy)) == pytest.approx(energy, rel=1e-15)


@settings(deadline=None)
@given(st.integers(0, 2**52))
def test_shown_text_is_near(number: int) -> None:
    assert units.duration_ns(units.format_duration(number)) == pytest.approx(number, rel=0.005, abs=0.5)
    assert units.size_bytes(units.format_size(number)) == pytest.approx(number, rel=0.05, abs=0.5)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (units.duration_ns, units.size_bytes, units.energy_mj, units.power_mw, units.ratio, units.decibel):
        try:
            read(text)
        except UserError:
            continue


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (4_312_345, "4.31 ms"),
        (0, "0 ns"),
        (999, "999 ns"),
        (999_600, "1.00 ms"),
        (1_000, "1.00 us"),
        (90 * 10**9, "90.0 s"),
    ],
)
def test_format_duration(ns: int, text: str) -> None:
    assert units.format_duration(ns) == text


def test_format_size_and_energy() -> None:
    assert units.format_size(5_123_456) == "5.12 MB"
    assert units.format_size(350_000_000) == "350 MB"
    assert units.format_size(12) == "12 B"
    assert units.format_energy(40.25) == "40.2 mJ"
    assert units.format_energy(0.0) == "0 nJ"
    assert units.format_duration(-4_312_345) == "-4.31 ms"
