"""Push a file to an sshd on loopback, by Seatrial and by OpenSSH's scp, taking turns; print Markdown rows.

    python benchmarks/push.py [--megabytes 200] [--rounds 7]

scp runs twice per round: as it comes, and with the cipher that Seatrial prefers. Seatrial's time includes asking what
the device has, and the sha256 there, which scp doesn't do; the sha256 on this side is known from the bundle. scp's
time includes its connection. The server's user has an empty home, so that no shell start-up files are timed. Needs
openssh-server's sshd.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "peers"))
from sshd import Sshd

from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport, push_cached
from seatrial_targets.inventory import Device

MEGABYTE = 1_000_000


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Sshd(folder)
        server.start()
        try:
            _measure(folder, server, options)
        finally:
            server.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def _measure(folder: Path, server: Sshd, options: argparse.Namespace) -> None:
    source = folder / "source"
    source.write_bytes(os.urandom(options.megabytes * MEGABYTE))
    (folder / "known_hosts").write_text(server.known_hosts_line())
    digest = _sha256(source)
    device = _device(folder, server)
    with open_transport(device) as transport:
        ways: dict[str, Callable[[], None]] = {
            "Seatrial with its connection": lambda: _connect_and_push(device, source, digest),
            "Seatrial, connected": lambda: _push(transport, source, digest),
            "scp": lambda: _scp(folder, server, source),
            "scp -c aes128-gcm": lambda: _scp(folder, server, source, "-c", "aes128-gcm@openssh.com"),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(options.rounds):
            for way in list(ways)[:: 1 if turn % 2 else -1]:
                seconds[way].append(_timed(ways[way]))
        again = push_cached(transport, source, digest, Deadline.after(600))[1]
    _print(seconds, options.megabytes, again)


def _device(folder: Path, server: Sshd) -> Device:
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    (folder / "seatrial").mkdir()
    (folder / "seatrial" / "known_hosts").write_text(server.known_hosts_line())
    return Device(
        name="loopback",
        target="x86-64-cpu-fp32",
        transport="ssh",
        address="127.0.0.1",
        port=server.port,
        key=str(server.key),
        root=str(folder / "device"),
    )


def _connect_and_push(device: Device, source: Path, digest: str) -> None:
    with open_transport(device) as transport:
        _push(transport, source, digest)


def _push(transport: Transport, source: Path, digest: str) -> None:
    Path(transport.root, "blobs", digest).unlink(missing_ok=True)
    assert push_cached(transport, source, digest, Deadline.after(600))[1] == source.stat().st_size


def _scp(folder: Path, server: Sshd, source: Path, *options: str) -> None:
    (folder / "copy").unlink(missing_ok=True)
    known = f"UserKnownHostsFile={folder / 'known_hosts'}"
    login = ["-q", "-P", str(server.port), "-i", str(server.key), "-o", known]
    subprocess.run(["scp", *login, *options, source, f"127.0.0.1:{folder / 'copy'}"], check=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _timed(way: Callable[[], None]) -> float:
    start = time.monotonic()
    way()
    return time.monotonic() - start


def _print(seconds: dict[str, list[float]], megabytes: int, again: int) -> None:
    print(f"| {megabytes} MB over SSH on loopback | median MB/s | best MB/s | median s |\n|---|---|---|---|")
    for way, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"| {way} | {megabytes / middle:.0f} | {megabytes / min(taken):.0f} | {middle:.2f} |")
    print(f"| Seatrial, the same file again | {again} bytes sent | | |")


if __name__ == "__main__":
    main()
