"""Build the agents: ``python -m seatrial_runner.agent.build`` (extra ``[agents]``), ``--check`` to compare.

What is in `bin/` is committed, so that nobody needs the 400 MB cross-compiler to install Seatrial. The build is
deterministic (pinned compiler and header, no paths, no times, stripped), and ``--check`` proves that the committed
files are what these sources give, byte for byte. The Python agent is packed here too, into one uncompressed archive.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from seatrial_targets.errors import HarnessError, SeatrialError

from .ort_header import cache_folder, include_folder

HERE = Path(__file__).resolve().parent
NATIVE = HERE / "native"
BIN = HERE / "bin"
# `uname -m` -> zig's target. glibc 2.17 is the oldest that manylinux knows: below what any ONNX Runtime needs.
MACHINES = {
    "aarch64": "aarch64-linux-gnu.2.17",
    "armv7l": "arm-linux-gnueabihf.2.17",
    "x86_64": "x86_64-linux-gnu.2.17",
}
PORTABLE = HERE / "portable"
_ARCHIVE_MAIN = b"import sys\n\nfrom seatrial_agent.main import main\n\nsys.exit(main(sys.argv))\n"
ZIG_VERSION = "0.15.1"
# -ffp-contract=off: checks give the same figures on every machine, and the same as the Python agent's.
FLAGS = (
    "-std=gnu11",
    "-O2",
    "-g0",
    "-s",
    "-fPIE",
    "-pie",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wl,--build-id=none",
)
LIBRARIES = ("-ldl", "-lm", "-lpthread")


def build(machine: str, target: Path, flags: Sequence[str] = (), sources: Sequence[Path] = ()) -> None:
    """Write the agent for ``machine`` to ``target``. Raises HarnessError when compiler or header are missing.

    ``flags`` and ``sources`` are added for builds that are never shipped, such as those of benchmarks.
    """
    _require_zig()
    own = sorted(path.name for path in NATIVE.glob("*.c"))
    include = [f"-I{include_folder()}", f"-I{NATIVE}"] if sources else [f"-I{include_folder()}"]
    argv = [sys.executable, "-m", "ziglang", "cc", "-target", MACHINES[machine], *FLAGS, *flags, *include, *own]
    argv += [str(source.resolve()) for source in sources]
    cache = cache_folder() / "zig"
    environment = {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "SOURCE_DATE_EPOCH": "0",
    }
    done = subprocess.run(
        [*argv, *LIBRARIES, "-o", str(target)], cwd=NATIVE, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HarnessError(f"the agent for {machine} does not compile:\n{done.stderr.strip()}")


def pack(target: Path) -> None:
    """Write the Python agent to ``target`` as one archive that ``python3`` runs: stored, sorted, without times."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), _ARCHIVE_MAIN)
        for source in sorted(PORTABLE.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"seatrial_agent/{source.name}"), source.read_bytes())


def make(folder: Path, machines: Sequence[str]) -> list[Path]:
    """Write the Python agent and the native ones for ``machines`` into ``folder``; return their paths."""
    made = [folder / "agent.pyz", *(folder / f"agent-{machine}" for machine in machines)]
    pack(made[0])
    for machine, path in zip(machines, made[1:], strict=True):
        build(machine, path)
        path.chmod(0o755)
    return made


def differing(machines: Sequence[str] = tuple(MACHINES)) -> list[str]:
    """Make everything anew; return the names of the files in `bin/` that are missing or have other bytes."""
    with tempfile.TemporaryDirectory(prefix="seatrial-agents-") as folder:
        return [path.name for path in make(Path(folder), machines) if not _same(path, BIN / path.name)]


def _same(fresh: Path, committed: Path) -> bool:
    return committed.is_file() and fresh.read_bytes() == committed.read_bytes()


def _require_zig() -> None:
    if importlib.util.find_spec("ziglang") is None:
        raise HarnessError("the cross-compiler is not installed: pip install 'seatrial[agents]'")
    found = subprocess.run([sys.executable, "-m", "ziglang", "version"], capture_output=True, text=True, check=False)
    if found.stdout.strip() != ZIG_VERSION:
        raise HarnessError(
            f"the agents are built with ziglang {ZIG_VERSION}, not {found.stdout.strip()!r}: "
            f"pip install ziglang=={ZIG_VERSION}"
        )


def _build_all(machines: Sequence[str]) -> int:
    BIN.mkdir(exist_ok=True)
    for path in make(BIN, machines):
        print(f"{path.name}: {path.stat().st_size} bytes")
    return 0


def _check_all(machines: Sequence[str]) -> int:
    different = differing(machines)
    for name in different:
        print(f"{name} differs from its sources: run python -m seatrial_runner.agent.build and commit", file=sys.stderr)
    return 1 if different else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or check; return 0, 1 when a binary differs, 3 when it can't be built."""
    parser = argparse.ArgumentParser(
        prog="python -m seatrial_runner.agent.build", description="Build the native agents."
    )
    parser.add_argument("--check", action="store_true", help="compare with the committed binaries, write nothing")
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=f"of {', '.join(MACHINES)}; all without one")
    options = parser.parse_args(arguments)
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown machine {', '.join(sorted(unknown))}; choose from {', '.join(MACHINES)}")
    try:
        return (_check_all if options.check else _build_all)(options.machines or tuple(MACHINES))
    except SeatrialError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
