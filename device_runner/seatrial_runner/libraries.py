"""Runtime libraries for devices: fetched through pip or given by the user, kept by hash in the user's cache.

    $XDG_CACHE_HOME/seatrial/runtimes/<sha256>/libonnxruntime.so     the library
    $XDG_CACHE_HOME/seatrial/runtimes/<sha256>/about.json            version, machine, where it came from

Nothing here loads a library: it is read as bytes, and its machine is taken from its ELF header.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from seatrial_targets.errors import HarnessError, UserError

FILE = "libonnxruntime.so"
_ABOUT = "about.json"
# ELF e_machine -> uname -m
_ELF_MACHINES = {(2, 62): "x86_64", (2, 183): "aarch64", (1, 40): "armv7l", (1, 3): "i686", (2, 243): "riscv64"}
_MOST_BYTES = 1 << 30
# Wheels of ONNX Runtime for Linux exist for these alone. Named newest first: a lone manylinux_2_17 would silently
# select a release of years ago.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014")
_WHEEL_MACHINES = ("x86_64", "aarch64")
_WHEEL_PYTHON = "3.13"  # any that current wheels are built for: only the library inside is taken


@dataclass(frozen=True)
class Library:
    """A runtime library on this host, for devices of ``machine`` (as ``uname -m`` tells it)."""

    path: Path
    version: str
    machine: str
    sha256: str
    source: str = ""


def cache_folder() -> Path:
    """Return the folder that libraries are kept in; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial" / "runtimes"


def elf_machine(path: Path) -> str:
    """Return the machine that an ELF shared library is for. Raises UserError when it is none, or for an unknown one."""
    with path.open("rb") as file:
        header = file.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF":
        raise UserError(f"{path} is no ELF file; give the libonnxruntime.so for the device")
    if header[5] != 1 or int.from_bytes(header[16:18], "little") != 3:
        raise UserError(f"{path} is no little-endian shared library; give the libonnxruntime.so for the device")
    key = (header[4], int.from_bytes(header[18:20], "little"))
    if key not in _ELF_MACHINES:
        raise UserError(f"{path} is for a machine that Seatrial does not know (ELF class {key[0]}, machine {key[1]})")
    return _ELF_MACHINES[key]


def add(path: Path, machine: str | None = None, version: str | None = None) -> Library:
    """Copy a library that the user has into the cache.

    ``machine``, when given, must be what the file's header says. ``version`` is looked for in the file's name and then
    in its strings when not given. Raises UserError when the file is not such a library.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    found = elf_machine(path)
    if machine is not None and found != machine:
        raise UserError(f"{path} is for {found}, not for {machine}; give the library for {machine}")
    if not _mentions(path, b"OrtGetApiBase"):
        raise UserError(f"{path} is no ONNX Runtime library: it has no symbol OrtGetApiBase")
    return _store(path, found, version or _version_of(path), f"file {path.name}")


def fetch(machine: str, version: str | None = None) -> Library:
    """Take the library out of ONNX Runtime's own wheel for ``machine``, had through pip with the user's settings.

    ``version`` None means the newest. Raises UserError where no wheels exist, HarnessError when pip fails.
    """
    if machine not in _WHEEL_MACHINES:
        raise UserError(
            f"ONNX Runtime publishes no wheel for {machine} (only for {', '.join(_WHEEL_MACHINES)}); build or find a "
            f"libonnxruntime.so for it and run: seatrial runtimes add FILE --machine {machine}"
        )
    with tempfile.TemporaryDirectory(prefix="seatrial-wheel-") as folder:
        wheel = _download(machine, version, Path(folder))
        library = _extract(wheel, Path(folder))
        if (found := elf_machine(library)) != machine:
            raise HarnessError(f"{wheel.name} holds a library for {found}, not for {machine}")
        return _store(library, machine, wheel.name.split("-")[1], f"wheel {wheel.name}")


def listed() -> tuple[Library, ...]:
    """Return what the cache holds, by machine, the newest version first. Damaged entries are left out."""
    entries = filter(None, map(_read, sorted(cache_folder().glob(f"*/{_ABOUT}"))))
    return tuple(sorted(entries, key=lambda entry: (entry.machine, [-part for part in _numbers(entry.version)])))


def installed() -> Library | None:
    """Return the library of the onnxruntime package of this Python, which is not imported; None without one."""
    try:
        distribution = importlib.metadata.distribution("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in distribution.files or ():
        if PurePosixPath(file).name.startswith(f"{FILE}."):
            path = Path(str(distribution.locate_file(file))).resolve()
            if path.is_file():
                return Library(path, distribution.version, elf_machine(path), _sha256(path), "installed package")
    return None


def find(machine: str, versions: str = "") -> Library:
    """Return the newest library for ``machine`` that satisfies ``versions`` (a specifier as in ``>=1.17,<2``).

    Looks in the cache and, for this host's own machine, at the onnxruntime package of this Python. The cache's copy is
    hashed again, so that a damaged one is never sent. Raises UserError, which says how to get one.
    """
    here = installed() if machine == platform.machine() else None
    known = [*([here] if here else []), *listed()]
    fitting = [entry for entry in known if entry.machine == machine and satisfies(entry.version, versions)]
    for entry in sorted(fitting, key=lambda entry: _numbers(entry.version), reverse=True):
        if _sha256(entry.path) == entry.sha256:
            return entry
    others = sorted({f"{entry.version}" for entry in known if entry.machine == machine})
    have = f" (there is {', '.join(others)})" if others else ""
    way = "fetch " if machine in _WHEEL_MACHINES else "add FILE --machine "
    what = f"no ONNX Runtime library{' ' + versions if versions else ''} for {machine}{have}"
    raise UserError(f"{what}; run: seatrial runtimes {way}{machine}")


def satisfies(version: str, versions: str) -> bool:
    """Return whether ``version`` satisfies all conditions in ``versions``, as in ``>=1.17,<2``; none: any does."""
    return all(_holds(version, part) for part in filter(None, (p.strip() for p in versions.split(","))))


def _holds(version: str, condition: str) -> bool:
    match = re.fullmatch(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)", condition)
    if match is None:
        raise UserError(f"{condition!r} is not a version condition; write for example '>=1.17,<2'")
    sign, (have, want) = match[1], _padded(_numbers(version), _numbers(match[2]))
    order = (have > want) - (have < want)
    return {">=": order >= 0, "<=": order <= 0, "==": order == 0, "!=": order != 0, ">": order > 0, "<": order < 0}[
        sign
    ]


def _padded(*versions: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    length = max(map(len, versions))
    return (version + (0,) * (length - len(version)) for version in versions)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def _download(machine: str, version: str | None, folder: Path) -> Path:
    platforms: Iterable[str] = (flag for name in _PLATFORMS for flag in ("--platform", f"{name}_{machine}"))
    wanted = f"onnxruntime=={version}" if version else "onnxruntime"
    options = ["--no-deps", "--only-binary=:all:", "--python-version", _WHEEL_PYTHON, "--implementation", "cp"]
    argv = [sys.executable, "-m", "pip", "download", "--quiet", *options, *platforms, "--dest", str(folder), wanted]
    # Constraints are for what is installed here; a device's version is another matter.
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=900, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"pip could not fetch {wanted} for {machine}: {error}") from error
    wheels = sorted(folder.glob("onnxruntime-*.whl"))
    if done.returncode or not wheels:
        raise HarnessError(
            f"pip could not fetch {wanted} for {machine}: {(done.stderr or done.stdout).strip()[-1000:]}"
        )
    return wheels[0]


def _extract(wheel: Path, folder: Path) -> Path:
    """Copy the library out of the wheel. Only the one member's bytes are used, never its path."""
    target = folder / FILE
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [
                m for m in archive.infolist() if re.fullmatch(r"onnxruntime/capi/libonnxruntime\.so[.0-9]*", m.filename)
            ]
            if not members:
                raise HarnessError(f"{wheel.name} holds no {FILE}")
            largest = max(members, key=lambda member: member.file_size)
            if largest.file_size > _MOST_BYTES:
                raise HarnessError(
                    f"{wheel.name}: {largest.filename} has {largest.file_size} bytes, more than {_MOST_BYTES}"
                )
            with archive.open(largest) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise HarnessError(f"{wheel.name} can't be read: {error}") from error
    return target


def _store(path: Path, machine: str, version: str, source: str) -> Library:
    digest = _sha256(path)
    target = cache_folder() / digest
    library = Library(target / FILE, version, machine, digest, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as folder:
        new = Path(folder) / "entry"
        new.mkdir()
        shutil.copyfile(path, new / FILE)
        about = {key: value for key, value in asdict(library).items() if key != "path"}
        (new / _ABOUT).write_text(json.dumps(about, indent=1))
        if target.is_dir():
            target.rename(Path(folder) / "old")
        new.rename(target)
    return library


def _read(about: Path) -> Library | None:
    try:
        entry = json.loads(about.read_text())
        version, machine, digest = (str(entry[key]) for key in ("version", "machine", "sha256"))
        library = Library(about.parent / FILE, version, machine, digest, str(entry.get("source", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return library if library.path.is_file() and about.parent.name == digest else None


def _mentions(path: Path, symbol: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(symbol) >= 0


def _version_of(path: Path) -> str:
    if found := re.search(r"\.so\.(\d+\.\d+(?:\.\d+)?)$", path.name):
        return found[1]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The version node of its symbols, as the linker script of ONNX Runtime names it.
        if named := re.search(rb"\0VERS_(\d+\.\d+(?:\.\d+)?)\0", content):
            return named[1].decode()
    raise UserError(f"the version of {path} can't be told from it; say --version, e.g. --version 1.20.1")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
