"""What trtexec prints, in the forms of its versions. The lines follow the sources; the numbers are made up."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.runtime.tensorrt.report import STAND_IN, failure, parse_report
from seatrial_runner.runtime.tensorrt.version import Version

SUMMARY = """\
[02/27/2026-18:35:51] [I] === Performance summary ===
[02/27/2026-18:35:51] [I] Throughput: 208.5 qps
[02/27/2026-18:35:51] [I] Latency: min = 4.25 ms, max = 5 ms, mean = 4.5 ms, median = 4.4375 ms, {tail}
[02/27/2026-18:35:51] [I] Enqueue Time: min = 0.5 ms, max = 1e-05 ms, mean = inf ms, median = 0.5 ms, {tail}
[02/27/2026-18:35:51] [I] GPU Compute Time: min = 4 ms, max = 4.75 ms, mean = 4.25 ms, median = 4.125 ms, {tail}
[02/27/2026-18:35:51] [I] Total Host Walltime: 3.00119 s
[02/27/2026-18:35:51] [I] Total GPU Compute Time: 2.75 s
[02/27/2026-18:35:51] [W] * GPU compute time is unstable, with coefficient of variance = 3.2%.
"""
P99 = "percentile(99%) = 4.75 ms"
ALL = "percentile(90%) = 4.5 ms, percentile(95%) = 4.625 ms, percentile(99%) = 4.75 ms"
OPTIONS = """\
[02/27/2026-18:35:40] [I] === Build Options ===
[02/27/2026-18:35:40] [I] CUDA Graph: this is none of the inference options
[02/27/2026-18:35:40] [I] === Inference Options===
[02/27/2026-18:35:40] [I] Batch: Explicit
[02/27/2026-18:35:40] [I] Iterations: 10
[02/27/2026-18:35:40] [I] Data transfers: Disabled
[02/27/2026-18:35:40] [I] Spin-wait: Enabled
[02/27/2026-18:35:40] [I] CUDA Graph: Enabled
[02/27/2026-18:35:40] [I] === Device Information ===
[02/27/2026-18:35:40] [I] Selected Device: Orin
[02/27/2026-18:35:40] [I] Compute Capability: 8.7
[02/27/2026-18:35:40] [I] SMs: 16
[02/27/2026-18:35:41] [I] Engine loaded in 0.0125 sec.
[02/27/2026-18:35:41] [I] Engine deserialized in 0.25 sec.
[02/27/2026-18:35:41] [I] Created execution context with device memory size: 1.5 MiB
[02/27/2026-18:35:41] [I] [TRT] [MemUsageChange] Init CUDA: CPU +2, GPU +0, now: CPU 123, GPU 4567 (MiB)
[02/27/2026-18:35:41] [I] [TRT] [MemUsageChange] TensorRT-managed: CPU +0, GPU +5, now: CPU 120, GPU 4580 (MiB)
""".replace("Options===", "Options ===")


def text(banner: str, tail: str = ALL, ending: str = "PASSED") -> bytes:
    head = f"&&&& RUNNING TensorRT.trtexec {banner} # trtexec --loadEngine=x.plan\n"
    return (head + OPTIONS + SUMMARY.format(tail=tail) + head.replace("RUNNING", ending)).encode()


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("[TensorRT v8400]", Version(8, 4, 0)),
        ("[TensorRT v8601]", Version(8, 6, 1)),
        ("[TensorRT v100300]", Version(10, 3, 0)),
        ("[TensorRT v101303] [b9]", Version(10, 13, 3, 9)),
        ("[TensorRT v110100] [b42]", Version(11, 1, 0, 42)),
    ],
)
def test_versions(banner: str, version: Version) -> None:
    report = parse_report(text(banner))
    assert report.version == version
    assert report.ending == "passed"


def test_figures() -> None:
    report = parse_report(text("[TensorRT v100300]"))
    assert report.summary["GPU Compute Time"]["median"] == 4.125
    assert report.summary["Latency"]["percentile(95%)"] == 4.625
    assert report.figures["throughput_qps"] == 208.5
    assert report.nanoseconds("deserialized_s") == 250_000_000
    assert report.nanoseconds("built_s") is None
    assert report.bytes_of("scratch_mib") == 1_572_864
    assert report.words == {"gpu": "Orin", "capability": "8.7"}
    assert report.figures["sms"] == 16
    assert report.peak_mib == (123, 4580)
    assert report.warnings[-1].startswith("* GPU compute time is unstable")


def test_settings_are_those_of_the_queries_not_of_the_build() -> None:
    report = parse_report(text("[TensorRT v8601]"))
    assert report.settings == {
        "Batch": "Explicit",
        "Data transfers": "Disabled",
        "Spin-wait": "Enabled",
        "CUDA Graph": "Enabled",
    }


def test_a_graph_that_could_not_be_captured_was_not_in_effect() -> None:
    note = "The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode."
    raw = text("[TensorRT v8601]") + f"[02/27/2026-18:35:40] [W] {note}\n".encode()
    assert parse_report(raw).settings["CUDA Graph"] == "Disabled (could not be captured)"


def test_older_versions_print_one_percentile() -> None:
    report = parse_report(text("[TensorRT v8400]", P99))
    assert report.summary["Latency"] == {
        "min": 4.25, "max": 5, "mean": 4.5, "median": 4.4375, "percentile(99%)": 4.75,
    }  # fmt: skip


def test_line_ends_of_old_shells() -> None:
    raw = text("[TensorRT v8601]")
    assert parse_report(raw.replace(b"\n", b"\r\n")) == parse_report(raw)


def test_numbers_that_are_none_are_not_given_as_such() -> None:
    raw = b"[02/27/2026-18:35:40] [I] Engine built in inf sec.\n[02/27/2026-18:35:40] [I] Engine loaded in e sec.\n"
    report = parse_report(raw)
    assert report.nanoseconds("built_s") is None
    assert report.nanoseconds("loaded_s") is None


def test_a_stand_in_gives_itself_away_anywhere() -> None:
    assert not parse_report(text("[TensorRT v100300]")).stand_in
    assert parse_report(text("[TensorRT v100300]") + f"{STAND_IN}\n".encode()).stand_in


def test_the_reason_of_a_failure_comes_before_its_consequences() -> None:
    lines = [
        "Engine set up failed",
        "Error[6]: The engine plan file is not compatible, expecting library version 8.6.2.3 got 8.5.2.2",
        "Inference set up failed",
    ]
    raw = "".join(f"[02/27/2026-18:35:40] [E] {line}\n" for line in lines).encode()
    assert failure(parse_report(raw)).startswith("The engine plan file is not compatible, expecting")
    assert failure(parse_report(raw[: raw.index(b"\n") + 1])) == "Engine set up failed"


def test_terminal_escapes_do_not_survive() -> None:
    raw = b"[02/27/2026-18:35:40] [E] bad \x1b[31mred\x07\n"
    assert failure(parse_report(raw)) == "bad \\x1b[31mred\\x07"


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    report = parse_report(raw)
    assert report.ending == "none"
    failure(report)


WORDS = st.text(string.printable, max_size=30)
LINES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OPTIONS.splitlines() + SUMMARY.splitlines()), WORDS).map("".join),
        st.tuples(st.just("&&&& RUNNING TensorRT.trtexec [TensorRT v"), st.integers(0, 10**7).map(str), WORDS).map(
            "".join
        ),
    ),
    max_size=20,
)


@given(LINES)
def test_any_mixture_of_lines(lines: list[str]) -> None:
    report = parse_report("\n".join(lines).encode())
    for name in ("loaded_s", "deserialized_s", "built_s"):
        assert (report.nanoseconds(name) or 0) >= 0
    assert all(isinstance(value, float) for metric in report.summary.values() for value in metric.values())
