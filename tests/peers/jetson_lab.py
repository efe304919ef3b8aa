"""A device of the arm64 lab, dressed as a Jetson: files at their real paths in its own tree, stand-ins for programs.

It is for the way of words, numbers and permissions over a real sshd and adbd; nothing about it is as fast, as hot or as
hungry as a board. The stand-in for trtexec says so in every result.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile

from peers.lab import LabDevice
from peers.trt import SOURCES

TRTEXEC = "usr/src/tensorrt/bin/trtexec"
RAILS = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon7"
SETTINGS = {"version": "10.3.0", "build": 30, "gpu": "Orin", "sms": 8, "plain": True}
# As on an Orin Nano developer kit with JetPack 6.2, in part.
FILES = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    f"{RAILS}/name": "ina3221\n",
    f"{RAILS}/update_interval": "422\n",
    f"{RAILS}/samples": "64\n",
    **{f"{RAILS}/in{n}_label": f"{name}\n" for n, name in enumerate(["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], 1)},
    **{f"{RAILS}/in{n}_input": "5000\n" for n in (1, 2, 3)},
    **{f"{RAILS}/curr{n}_input": f"{value}\n" for n, value in enumerate([1000, 400, 200], 1)},
    "sys/class/devfreq/17000000.gpu/cur_freq": "624750000\n",
    "usr/src/tensorrt/bin/trtexec.json": json.dumps(SETTINGS),
}
PROGRAM = 0o755


def dress(board: LabDevice) -> None:
    """Put the files and programs of a Jetson into the device's own tree, as root."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as archive:
        for name, text in FILES.items():
            _add(archive, name, text.encode(), 0o644)
        for source in SOURCES.glob("trtexec*.py"):
            _add(archive, f"usr/src/tensorrt/bin/{source.name}", source.read_bytes(), 0o644)
        lines = (SOURCES / "trtexec.py").read_bytes().split(b"\n", 1)
        _add(archive, TRTEXEC, b"#!/usr/bin/python3\n" + lines[1], PROGRAM)
        _add(archive, "usr/sbin/nvpmodel", (SOURCES / "nvpmodel").read_bytes(), PROGRAM)
    text = base64.b64encode(blob.getvalue()).decode()
    board.shell(f"echo {text} | base64 -d | tar x -C / --no-same-owner")


def undress(board: LabDevice) -> None:
    """Take all of it away again."""
    folders = ("etc/nv_tegra_release", "etc/nvpmodel.conf", "var/lib/nvpmodel", "usr/src/tensorrt", "usr/sbin/nvpmodel")
    board.shell("rm -rf " + " ".join(f"/{name}" for name in (*folders, "sys/bus", "sys/class/devfreq")))


def configure(board: LabDevice, **settings: object) -> None:
    """Change how the stand-in for trtexec behaves."""
    text = base64.b64encode(json.dumps({**SETTINGS, **settings}).encode()).decode()
    board.shell(f"echo {text} | base64 -d > /usr/src/tensorrt/bin/trtexec.json")


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
