"""The committed agents are what their sources give, and stand by themselves."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from seatrial_runner.agent import build, native_agent, ort_header, python_agent
from seatrial_runner.agent.portable.runtime import INDEX, NEEDED_API
from seatrial_runner.libraries import elf_machine
from seatrial_targets.errors import HarnessError


def test_the_packed_python_agent_is_its_sources(tmp_path: Path) -> None:
    build.pack(tmp_path / "agent.pyz")
    assert (tmp_path / "agent.pyz").read_bytes() == python_agent().read_bytes(), (
        "run python -m seatrial_runner.agent.build"
    )


@pytest.mark.slow
def test_the_native_agents_are_their_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, with an empty compiler cache, so that the compiler does run."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs the extra [agents]")
    monkeypatch.setenv("ORT_INCLUDE_DIR", str(ort_header.include_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.differing() == []


@pytest.mark.parametrize("machine", build.MACHINES)
def test_each_machine_has_its_agent(machine: str) -> None:
    agent = native_agent(machine)
    assert agent is not None
    assert agent.stat().st_size < 64_000
    assert elf_machine(agent) == machine


def test_names_of_machines() -> None:
    assert native_agent("arm64") == native_agent("aarch64")
    assert native_agent("../../etc/passwd") is None


# What a device brings for its GPU; loaded inside functions, when a job asks for it (numpy: pycuda's own requirement).
BROUGHT = {"tensorrt", "cuda", "pycuda", "numpy"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_the_python_agent_imports_nothing_but_the_standard_library() -> None:
    ours = {*sys.stdlib_module_names, "seatrial_agent"}
    with zipfile.ZipFile(python_agent()) as archive:
        for name in archive.namelist():
            tree = ast.parse(archive.read(name), feature_version=(3, 8))
            assert set(imported(tree)) <= ours | (BROUGHT if name.endswith(("/trt.py", "/cuda.py")) else set())
            top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
            assert set(imported(top)) <= ours


def test_the_python_agents_table_is_that_of_the_c_header(tmp_path: Path) -> None:
    if shutil.which("gcc") is None or not ort_header.is_cached():
        pytest.skip("needs gcc and ONNX Runtime's header: python -m seatrial_runner.agent.build fetches it")
    lines = "\n".join(f'printf("{name} %zu\\n", offsetof(OrtApi, {name}) / sizeof(void *));' for name in INDEX)
    includes = f'#include <stddef.h>\n#include <stdio.h>\n#include "{ort_header.HEADER}"\n'
    source = f"{includes}int main(void) {{ {lines} return 0; }}"
    (tmp_path / "table.c").write_text(source)
    compile_it = ["gcc", f"-I{ort_header.include_folder()}", "table.c", "-o", "table"]
    subprocess.run(compile_it, cwd=tmp_path, check=True, timeout=60)
    told = subprocess.run([tmp_path / "table"], capture_output=True, text=True, check=True).stdout
    assert dict(zip(told.split()[::2], map(int, told.split()[1::2]), strict=True)) == INDEX
    assert f"NEEDED_API {NEEDED_API}u" in (build.NATIVE / "agent.h").read_text()


def test_a_header_folder_without_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_INCLUDE_DIR", str(tmp_path))
    with pytest.raises(HarnessError, match="ORT_INCLUDE_DIR"):
        ort_header.include_folder()


def test_no_debian_and_no_header_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_INCLUDE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HarnessError, match="set ORT_INCLUDE_DIR"):
        ort_header.include_folder()


def test_an_unknown_machine_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build.main(["--check", "pdp11"])
    assert "choose from aarch64, armv7l, x86_64" in capsys.readouterr().err
