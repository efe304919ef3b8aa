"""Which NVIDIA device it is, from what its files, its packages and trtexec say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers import trt
from seatrial_runner.runtime.tensorrt.identity import Identity, identify, jetpack_of, read_facts
from seatrial_runner.runtime.tensorrt.version import Version
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device

# A Jetson Orin Nano developer kit with JetPack 6.2 in its 25 W mode, as `identity.SCRIPT` tells it.
ORIN_NANO = b"""\
trtexec\t/usr/src/tensorrt/bin/trtexec
l4t\t# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025
compatible\tnvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234
package\tlibnvinfer10 10.3.0.30-1+cuda12.5
package\tlibnvinfer-bin 10.3.0.30-1+cuda12.5
package\tnvidia-jetpack 6.2+b77
package\tnvidia-l4t-core 36.4.3-20250107174145
package\tcuda-cudart-12-6 12.6.68-1
cuda\t{   "cuda" : {      "name" : "CUDA SDK",      "version" : "12.6.11"   }, "cuda_cccl" : { "version" : "12.6.37" } }
nvpmodel\tNV Power Mode: 25W 1
pmode\tpmode:0001
"""


def test_a_jetson_orin_nano() -> None:
    assert read_facts(ORIN_NANO) == Identity(
        trtexec="/usr/src/tensorrt/bin/trtexec",
        version=Version(10, 3, 0, 30),
        l4t="36.4.3",
        jetpack="6.2",
        cuda="12.6.11",
        module="p3767-0005",
        power_mode="25W",
    )


def test_a_power_mode_without_the_right_to_ask_nvpmodel() -> None:
    raw = b"""nvpmodel\tNVPM ERROR: Error opening /sys/...: Permission denied
pmode\tpmode:0002
power_model\tPOWER_MODEL ID=0 NAME=MAXN
power_model\tPOWER_MODEL ID=2 NAME=MODE_15W
"""
    assert read_facts(raw).power_mode == "MODE_15W"
    assert read_facts(b"pmode\tpmode:0002\n").power_mode == "mode 2"
    assert read_facts(b"").power_mode == ""


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.4.0", "6.1"),
        ("36.4.3", "6.1 or later"),
        ("35.4.1", "5.1.2 or later"),
        ("38.2", "7.0"),
        ("12.1", ""),
        ("", ""),
    ],
)
def test_jetpack_by_l4t_where_its_package_is_not_installed(l4t: str, jetpack: str) -> None:
    assert jetpack_of(l4t) == jetpack


def test_l4t_by_its_package_where_the_release_file_is_missing() -> None:
    assert read_facts(b"package\tnvidia-l4t-core 35.4.1-20230801124926\n").l4t == "35.4.1"


def test_what_is_no_jetson_is_nothing() -> None:
    assert read_facts(b"") == Identity()
    assert not Identity().is_nvidia


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    for text in (raw, ORIN_NANO + raw):
        found = read_facts(text)
        assert all(value.isprintable() for value in found.settings().values())


@pytest.mark.parametrize(
    ("text", "version"), [("8.5.2-1+cuda11.4", Version(8, 5, 2)), ("10.3.0.30-1", Version(10, 3, 0, 30))]
)
def test_versions_of_packages(text: str, version: Version) -> None:
    assert Version.from_text(text) == version


@pytest.mark.parametrize("text", ["", "unknown", "10.3", "1.2.3456"])
def test_what_is_no_version(text: str) -> None:
    assert Version.from_text(text) is None


def test_trtexec_has_the_last_word_on_its_version(jetson: Device, trtexec: Path) -> None:
    trt.configure(trtexec, version="10.13.3", build=9, gpu="NVIDIA Thor", sms=20, capability="11.0")
    with open_transport(jetson) as transport:
        found = identify(transport, str(trtexec))
    assert (found.version, found.gpu, found.sms, found.capability) == (Version(10, 13, 3, 9), "NVIDIA Thor", 20, "11.0")
    assert found.stand_in
    assert found.problem == ""


def test_a_machine_whose_gpu_can_not_be_reached(jetson: Device, trtexec: Path) -> None:
    trt.configure(trtexec, faults={"device": "none"})
    with open_transport(jetson) as transport:
        found = identify(transport, str(trtexec))
    assert found.problem == "it finds no GPU: Cuda failure: no CUDA-capable device is detected"


def test_a_trtexec_that_does_not_start(jetson: Device, trtexec: Path) -> None:
    trtexec.write_text(
        "#!/bin/sh\necho 'trtexec: error while loading shared libraries: libnvinfer.so.10' >&2; exit 127\n"
    )
    with open_transport(jetson) as transport:
        found = identify(transport, str(trtexec))
    assert "does not start: " in found.problem
    assert "libnvinfer.so.10" in found.problem


def test_a_trtexec_that_is_not_where_it_should_be(jetson: Device) -> None:
    with open_transport(jetson) as transport:
        assert identify(transport, "/opt/none/trtexec").absent == "/opt/none/trtexec"
