"""The cache of runtime libraries, with ELF files made here and the real package of this Python."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner import libraries
from seatrial_targets.errors import HarnessError, UserError

MACHINES = {"x86_64": (2, 62), "aarch64": (2, 183), "armv7l": (1, 40)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return libraries.cache_folder()


def elf(machine: str, tail: bytes = b"") -> bytes:
    """The first bytes of a shared library for ``machine``, with the symbol that is looked for."""
    bits, number = MACHINES[machine]
    start = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + (3).to_bytes(2, "little") + number.to_bytes(2, "little")
    return start + b"\0OrtGetApiBase\0" + tail


def file(folder: Path, machine: str, name: str = "libonnxruntime.so.1.20.1", tail: bytes = b"") -> Path:
    path = folder / name
    path.write_bytes(elf(machine, tail))
    return path


@pytest.mark.parametrize("machine", MACHINES)
def test_an_added_file_is_found_again(tmp_path: Path, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "installed", lambda: None)
    added = libraries.add(file(tmp_path, machine), machine)
    assert (added.version, added.machine) == ("1.20.1", machine)
    assert added.path.read_bytes() == elf(machine)
    assert libraries.listed() == (added,)
    assert libraries.find(machine, ">=1.20,<2") == added
    assert libraries.add(file(tmp_path, machine), machine) == added  # again is no error


def test_the_newest_that_fits_is_found(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.20.0", "1.22.1"):
        libraries.add(file(tmp_path, "armv7l", f"libonnxruntime.so.{version}", version.encode()))
    assert libraries.find("armv7l").version == "1.22.1"
    assert libraries.find("armv7l", "<1.22").version == "1.20.0"
    assert libraries.find("armv7l", "==1.9").version == "1.9.0"
    assert libraries.find("armv7l", "!=1.22.1, >1.9").version == "1.20.0"
    with pytest.raises(
        UserError, match=r"no ONNX Runtime library >=2 for armv7l \(there is 1.20.0, .* runtimes add FILE"
    ):
        libraries.find("armv7l", ">=2")


def test_the_version_is_told_from_the_symbols(tmp_path: Path) -> None:
    named = file(tmp_path, "aarch64", "libonnxruntime.so", b"\0VERS_1.21.0\0")
    assert libraries.add(named).version == "1.21.0"
    plain = file(tmp_path, "aarch64", "other.so")
    with pytest.raises(UserError, match="--version"):
        libraries.add(plain)
    assert libraries.add(plain, version="1.2.3").version == "1.2.3"


def test_a_file_for_another_machine(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is for armv7l, not for aarch64"):
        libraries.add(file(tmp_path, "armv7l"), "aarch64")


BAD = {
    "empty": (b"", "no ELF file"),
    "text": (b"#!/bin/sh\nexit 0\n# long enough", "no ELF file"),
    "cut": (elf("aarch64")[:19], "no ELF file"),
    "big-endian": (elf("aarch64")[:5] + b"\x02" + elf("aarch64")[6:], "little-endian"),
    "program": (elf("aarch64")[:16] + b"\x02\x00" + elf("aarch64")[18:], "shared library"),
    "unknown machine": (elf("aarch64")[:18] + b"\xff\xff", "does not know"),
    "another library": (elf("aarch64").replace(b"OrtGetApiBase", b"SomethingElse"), "no symbol OrtGetApiBase"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_such_library(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / "lib.so.1.2").write_bytes(content)
    with pytest.raises(UserError, match=message):
        libraries.add(tmp_path / "lib.so.1.2")
    assert libraries.listed() == ()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        libraries.add(tmp_path / "none")


@given(st.binary(max_size=64))
def test_arbitrary_headers(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as handle:
        handle.write(content)
        handle.flush()
        with pytest.raises(UserError):
            libraries.elf_machine(Path(handle.name))


def test_a_damaged_copy_is_never_sent(tmp_path: Path) -> None:
    added = libraries.add(file(tmp_path, "armv7l"))
    added.path.write_bytes(elf("armv7l", b"changed"))
    with pytest.raises(UserError, match="runtimes add"):
        libraries.find("armv7l")
    assert libraries.add(file(tmp_path, "armv7l")) == libraries.find("armv7l")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version":"1","machine":"x","sha256":"y"}'])
def test_a_damaged_entry_is_left_out(cache: Path, content: str) -> None:
    (cache / "0000").mkdir(parents=True)
    (cache / "0000" / "about.json").write_text(content)
    assert libraries.listed() == ()


def test_the_package_of_this_python_is_seen_and_not_imported() -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("needs onnxruntime")
    script = (
        "import platform, sys; from seatrial_runner import libraries;"
        "found = libraries.find(platform.machine());"
        "print(found.machine, found.source); assert 'onnxruntime' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"{platform.machine()} installed package", done.stderr


def test_armv7_has_no_wheel() -> None:
    with pytest.raises(UserError, match=r"no wheel for armv7l.*seatrial runtimes add FILE --machine armv7l"):
        libraries.fetch("armv7l")


def test_a_bad_condition(tmp_path: Path) -> None:
    libraries.add(file(tmp_path, "armv7l"))
    with pytest.raises(UserError, match="not a version condition"):
        libraries.find("armv7l", "~=1.2")


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "onnxruntime-1.20.0-cp313-cp313-manylinux_2_28_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_only_the_library_leaves_the_wheel_and_only_by_our_name(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    members = {
        "../libonnxruntime.so.9": b"slipped",
        "/tmp/onnxruntime/capi/libonnxruntime.so.9": b"slipped",
        "onnxruntime/capi/../../libonnxruntime.so.9": b"slipped",
        "onnxruntime/capi/libonnxruntime_providers_shared.so": b"another",
        "onnxruntime/capi/libonnxruntime.so.1.20.0": b"this",
    }
    library = libraries._extract(wheel(tmp_path, members), tmp_path / "out")
    assert library.read_bytes() == b"this"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["libonnxruntime.so"]


def test_a_wheel_without_the_library(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"holds no libonnxruntime\.so"):
        libraries._extract(wheel(tmp_path, {"onnxruntime/__init__.py": b""}), tmp_path)
    (tmp_path / "onnxruntime-1-x.whl").write_bytes(b"not a zip")
    with pytest.raises(HarnessError, match="can't be read"):
        libraries._extract(tmp_path / "onnxruntime-1-x.whl", tmp_path)


def test_pip_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nonexistent")
    with pytest.raises(HarnessError, match="pip could not fetch onnxruntime==0"):
        libraries.fetch("aarch64", "0.0.1")


@pytest.mark.slow
def test_fetch_takes_the_library_for_another_machine() -> None:
    other = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    library = libraries.fetch(other)
    assert libraries.elf_machine(library.path) == library.machine == other
    assert libraries.find(other) == library
