"""Push files to a device, by Seatrial and by the usual programs, taking turns; print Markdown rows.

    python benchmarks/push.py [--megabytes 200] [--files 1000] [--rounds 7] [--adb [--link MBIT]]

Two loads: one large file, and many small ones. The device is an sshd on loopback; with --adb (as root, Debian) also the
lab's device of this machine's own architecture, behind AOSP's adbd, whose wire ``--link`` holds to a rate: 320 Mbit/s
is about what USB 2 carries. Seatrial's time includes asking what the device has, and the sha256 there, which the others
don't do, but for one row of adb's; the sha256 on this side is known from the bundle. The time of scp, sftp and rsync
includes their connection, so Seatrial is timed with and without one. The server's user has an empty home, so that no
shell start-up files are timed. Needs openssh-server's sshd; rsync is left out where there is none.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from peers import lab
from peers.sshd import Sshd, free_port
from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport, push_all
from seatrial_targets.inventory import Device

MEGABYTE = 1_000_000
FAST = "aes128-gcm@openssh.com"  # the cipher that Seatrial prefers
Ways = dict[str, Callable[[], object]]


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        loads = _loads(Path(name), options)
        with _sshd(Path(name)) as (server, device):
            for what, load in loads.items():
                ways = _over_ssh(Path(name), server, load)
                _table(f"{what}, SSH on loopback", device, load, ways, options.rounds)
        if options.adb:
            wire = f"adb at {options.link} Mbit/s" if options.link else "adb"
            with _adbd(options.link) as device:
                for what, load in loads.items():
                    _table(f"{what}, {wire}", device, load, _over_adb(device, load), options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--adb", action="store_true")
    parser.add_argument("--link", type=int, default=0, metavar="MBIT", help="the rate of adb's wire; 0: as it is")
    return parser.parse_args()


def _loads(folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    one, many = folder / "one", folder / "many"
    one.mkdir()
    many.mkdir()
    (one / "file").write_bytes(os.urandom(options.megabytes * MEGABYTE))
    for number in range(options.files):
        (many / f"{number:05}").write_bytes(os.urandom(4096))
    return {f"{options.megabytes} MB in one file": one, f"{options.files} files of 4 KiB": many}


def _table(title: str, device: Device, load: Path, others: Ways, rounds: int) -> None:
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(load.iterdir())}
    size = sum(path.stat().st_size for path in files) / MEGABYTE
    with open_transport(device) as transport:
        ways: Ways = {
            "Seatrial with its connection": lambda: _connect_and_push(device, files),
            "Seatrial, connected": lambda: _push(transport, files),
            **others,
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds):
            for way in list(ways)[:: 1 if turn % 2 else -1]:
                _forget(transport)
                seconds[way].append(_timed(ways[way]))
        _forget(transport)
        _push(transport, files)
        again = push_all(transport, files, Deadline.after(600))[1]
        _forget(transport)
    print(f"\n| {title} | median s | best s | median MB/s |\n|---|---|---|---|")
    for way, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"| {way} | {middle:.2f} | {min(taken):.2f} | {size / middle:.0f} |")
    print(f"| Seatrial, the same again | {again} bytes sent | | |", flush=True)


def _connect_and_push(device: Device, files: dict[Path, str]) -> None:
    with open_transport(device) as transport:
        _push(transport, files)


def _push(transport: Transport, files: dict[Path, str]) -> None:
    sent = push_all(transport, files, Deadline.after(600))[1]
    assert sent == sum(path.stat().st_size for path in files)


def _forget(transport: Transport) -> None:
    """Remove what was pushed before, by whomever."""
    argv = ["sh", "-c", 'rm -rf "$1/blobs" "$1/copy"', "sh", transport.root]
    assert transport.run(argv, deadline=Deadline.after(600)).ok


@contextmanager
def _sshd(folder: Path) -> Iterator[tuple[Sshd, Device]]:
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    (folder / "seatrial").mkdir()
    server = Sshd(folder)
    server.start()
    (folder / "seatrial" / "known_hosts").write_text(server.known_hosts_line())
    row = {"name": "loopback", "target": "x86-64-cpu-fp32", "transport": "ssh", "address": "127.0.0.1"}
    place = {"port": server.port, "key": str(server.key), "root": str(folder / "device")}
    try:
        yield server, Device.model_validate({**row, **place})
    finally:
        server.stop()


def _over_ssh(folder: Path, server: Sshd, load: Path) -> Ways:
    known = f"UserKnownHostsFile={folder / 'seatrial' / 'known_hosts'}"
    login = ["-i", str(server.key), "-o", known]
    copy, port = folder / "device" / "copy", str(server.port)
    batch = folder / f"{load.name}.sftp"
    batch.write_text(f"put -r {load} {copy}\n")
    rsh = " ".join(["ssh", "-p", port, *login])
    ways: Ways = {
        "scp -r": lambda: _run("scp", "-rqP", port, *login, load, f"127.0.0.1:{copy}"),
        "scp -r -c aes128-gcm": lambda: _run("scp", "-rqP", port, "-c", FAST, *login, load, f"127.0.0.1:{copy}"),
        "sftp put -r": lambda: _run("sftp", "-qP", port, *login, "-b", batch, "127.0.0.1"),
    }
    if shutil.which("rsync"):
        ways["rsync -rW"] = lambda: _run("rsync", "-rW", "-e", rsh, f"{load}/", f"127.0.0.1:{copy}/")
    return ways


@contextmanager
def _adbd(link: int) -> Iterator[Device]:
    os.environ["ANDROID_ADB_SERVER_PORT"] = str(free_port())
    lab.build(lab.NATIVE)
    board = lab.LabDevice("droid", "adbd", 5555, lab.NATIVE)
    board.up()
    if link:
        shape = ["rate", f"{link}mbit", "burst", "256kb", "latency", "50ms"]
        _run("tc", "qdisc", "replace", "dev", board.wire, "root", "tbf", *shape)
    row = {"name": "droid", "target": "x86-64-cpu-fp32", "transport": "adb", "address": board.address}
    try:
        yield Device.model_validate({**row, "root": "/data/local/tmp/device", "stamp": "native lab"})
    finally:
        _run("adb", "kill-server")
        board.down()


def _over_adb(device: Device, load: Path) -> Ways:
    serial, copy = f"{device.address}:5555", f"{device.root}/copy"

    def push() -> None:
        _run("adb", "-s", serial, "push", load, copy)

    def push_and_hash() -> None:
        push()
        _run("adb", "-s", serial, "shell", f"cd {copy} && sha256sum *")

    return {"adb push": push, "adb push, then sha256sum there": push_and_hash}


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _timed(way: Callable[[], object]) -> float:
    start = time.monotonic()
    way()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
