"""Measure on many devices at once from one process, and print what that costs the host; Markdown rows.

    python benchmarks/many_devices.py [--devices 1,8,64] [--runs 3]

The devices are emulated: rows of one inventory that reach one sshd on loopback, each with a folder and a lease of its
own, and a connection of its own. Each gets a whole `seatrial.bench` (a memory run and some latency runs, of a model
that takes next to no time) in a thread of its own, all begun at once. Counted are the CPU time and the memory of the
host's process alone: what the devices themselves run is sshd's. Figures per device are those of the whole process, less
what it had before the first connection, divided by the number of devices. Needs openssh-server's sshd.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import seatrial
from faults.stage import installed_library
from peers.sshd import Sshd
from runner.conftest import bundle_maker

PLAN = {"memory_runs": 1, "energy_runs": 0, "solo_iterations": 64, "warmup_max_ns": 50_000_000, "run_seconds": 600.0}


def main() -> None:
    """Measure and print."""
    options = _options()
    print("| devices at once | wall s | runs per s | CPU s per device | CPU ms per run | memory MB | MB per device |")
    print("|---" * 7 + "|")
    for count in map(int, options.devices.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            print(_row(count, Path(folder), options.runs), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="1,8,64")
    parser.add_argument("--runs", type=int, default=3)
    return parser.parse_args()


def _row(count: int, folder: Path, runs: int) -> str:
    bundle = bundle_maker(folder)("tiny", target="x86-64-cpu-fp32").path
    server = Sshd(folder, "MaxStartups 1000", "MaxSessions 100")
    server.start()
    try:
        inventory = _inventory(count, folder, server)
        said = folder / "said.json"
        host = multiprocessing.get_context("spawn").Process(target=_host, args=(inventory, bundle, count, runs, said))
        host.start()
        host.join()
        left = [path.name for path in folder.glob("device-*/*") if path.name != "blobs"]
        assert not left, f"left on the devices: {left}"
        told = json.loads(said.read_text())
    finally:
        server.stop()
    made, grown = told["runs"], told["peak_mb"] - told["before_mb"]
    figures = (count, told["wall_s"], made / told["wall_s"], told["cpu_s"] / count, told["cpu_s"] / made * 1000)
    return "| {} | {:.1f} | {:.1f} | {:.2f} | {:.0f} | {:.0f} | {:.1f} |".format(
        *figures, told["peak_mb"], grown / count
    )


def _inventory(count: int, folder: Path, server: Sshd) -> Path:
    known = folder / "seatrial" / "known_hosts"
    known.parent.mkdir()
    known.write_text(server.known_hosts_line())
    same = f"target: x86-64-cpu-fp32, transport: ssh, address: 127.0.0.1, port: {server.port}, key: {server.key}"
    rows = (f"  d{n}: {{{same}, root: {folder}/device-{n}, library: {installed_library()}}}\n" for n in range(count))
    inventory = folder / "devices.yaml"
    inventory.write_text("devices:\n" + "".join(rows))
    return inventory


def _host(inventory: Path, bundle: Path, count: int, runs: int, said: Path) -> None:
    os.environ["XDG_CONFIG_HOME"] = str(inventory.parent)
    import paramiko  # noqa: F401  what is loaded once for all devices is no device's

    import seatrial_runner.trial  # noqa: F401

    before, cpu, began = _peak_mb(), time.process_time(), time.monotonic()
    plan = {**PLAN, "solo_runs": runs}
    with ThreadPoolExecutor(count) as pool:
        names = [f"d{number}" for number in range(count)]
        trials = list(pool.map(lambda name: seatrial.bench(bundle, name, inventory=inventory, plan=plan), names))
    wall = time.monotonic() - began
    assert all(trial.status == "ok" for trial in trials)
    made = sum(run.status == "ok" for trial in trials for run in trial.runs)
    assert made >= count * (runs + 1)
    figures = {"runs": made, "wall_s": wall, "cpu_s": time.process_time() - cpu}
    said.write_text(json.dumps({**figures, "before_mb": before, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
