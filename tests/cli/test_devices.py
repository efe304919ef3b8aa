"""seatrial devices, doctor, runtimes and completion."""

from __future__ import annotations

import inspect
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.program import PROGRAM, QUICK, Call
from peers.sshd import Sshd
from seatrial_runner.bundle import Bundle

INVENTORY = """\
devices:
  board:
    target: {target}
    transport: ssh
    address: 127.0.0.1
    port: {port}
    key: {key}
    root: {root}
"""


@pytest.fixture
def board(sshd: Sshd, home: Path) -> str:
    """A device behind a real sshd on loopback, in ./devices.yaml, its host key not trusted yet."""
    target = {"x86_64": "x86-64-cpu-fp32"}.get(platform.machine(), "arm64-cpu-fp32")
    text = INVENTORY.format(target=target, port=sshd.port, key=sshd.key, root=home / "board")
    Path("devices.yaml").write_text(text)
    return "board"


def test_local_is_always_listed(call: Call) -> None:
    (device,) = call("devices", "list", "--json").document
    assert (device["name"], device["transport"]) == ("local", "local")
    assert "this machine" in call("devices", "list").out


def test_the_inventory_can_be_named(call: Call) -> None:
    row = "target: android-arm64-fp32\n    transport: adb\n    serial: R5\n"
    Path("mine.yaml").write_text(f"devices:\n  droid:\n    {row}")
    names = [device["name"] for device in call("devices", "list", "--devices", "mine.yaml", "--json").document]
    assert names == ["droid", "local"]


def test_a_wrong_inventory_is_said_with_places(call: Call) -> None:
    Path("devices.yaml").write_text("devices:\n  pi:\n    target: x86-64-cpu-fp32\n    transprot: ssh\n")
    said = call("devices", "list")
    assert said.code == 2
    assert "devices.yaml:4:5: devices.pi.transprot: unknown key; did you mean 'transport'?" in said.err


def test_this_machine_is_examined(call: Call) -> None:
    said = call("devices", "check", "local", "--json")
    found = {finding["check"]: finding for finding in said.document["findings"]}
    assert said.code == (3 if said.document["worst"] == "error" else 0)
    assert found["reachable"]["level"] == "ok"
    assert platform.machine() in found["processor"]["text"]
    assert found["in use"]["text"] == "nobody measures on it"


def test_from_an_unknown_host_to_a_verdict(call: Call, board: str, make_bundle: Callable[..., Bundle]) -> None:
    unknown = call("devices", "check", board, "--json")
    assert unknown.code == 3
    (finding,) = unknown.document["findings"]
    assert finding["command"] == "seatrial devices trust board"

    refused = call("devices", "trust", board, stdin="n\n")
    assert refused.code == 130
    assert call("devices", "check", board).code == 3
    other = call("devices", "trust", board, "--fingerprint", "SHA256:AAAA")
    assert other.code == 3
    assert "nothing is trusted" in other.err

    trusted = call("devices", "trust", board, stdin="y\n")
    assert trusted.code == 0
    assert "SHA256:" in trusted.err
    checked = call("devices", "check", board, "--json")
    assert {f["check"]: f["level"] for f in checked.document["findings"]}["reachable"] == "ok"

    benched = call("bench", make_bundle().path, "--device", board, *QUICK)
    assert benched.code == 0, benched.err
    cleaned = call("devices", "clean", board, "--json")
    assert cleaned.document["freed_bytes"] > 1_000_000
    assert list(Path(cleaned.document["root"]).iterdir()) == []


def test_a_changed_host_key_is_an_error_that_says_so(call: Call, board: str, sshd: Sshd) -> None:
    shown = call("devices", "trust", board, "--yes", "--json").document["fingerprint"]
    known = Path(os.environ["XDG_CONFIG_HOME"]) / "seatrial" / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"], check=True)
    other = " ".join(Path("other.pub").read_text().split()[:2])
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}\n")
    said = call("devices", "check", board)
    assert said.code == 3
    assert "HAS CHANGED" in said.out
    assert shown in said.out


def test_a_device_that_is_away_is_a_finding(call: Call, board: str, sshd: Sshd) -> None:
    sshd.stop()
    said = call("devices", "check", board)
    assert said.code == 3
    assert "What helps:" in said.out
    assert "ssh -v" in said.out


def test_only_ssh_knows_host_keys(call: Call) -> None:
    assert call("devices", "trust", "local").code == 2


def test_doctor_examines_this_machine(call: Call) -> None:
    said = call("doctor", "--json")
    assert said.code == 0
    found = {finding["check"]: finding for finding in said.document["findings"]}
    assert found["extra [export]"]["level"] == "ok"
    assert platform.python_version() in found["seatrial"]["text"]


def test_doctor_finds_a_folder_that_can_not_be_made(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", "file/below")
    said = call("doctor", "--json")
    assert said.code == 3
    assert {f["check"]: f["level"] for f in said.document["findings"]}["cache"] == "error"


def test_a_library_of_ones_own(call: Call) -> None:
    from seatrial_runner.libraries import installed

    library = installed()
    assert library is not None
    assert call("runtimes", "list", "--json").document == []
    added = call(
        "runtimes", "add", library.path, "--machine", platform.machine(), "--version", library.version, "--json"
    )
    assert added.document["sha256"] == library.sha256
    assert [entry["sha256"] for entry in call("runtimes", "list", "--json").document] == [library.sha256]
    wrong = call("runtimes", "add", library.path, "--machine", "riscv64", "--version", "1.2.3")
    assert wrong.code == 2


def test_no_wheel_for_a_machine_says_what_to_do(call: Call) -> None:
    said = call("runtimes", "fetch", "armv7l")
    assert said.code == 2
    assert "seatrial runtimes add" in said.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(call: Call, shell: str) -> None:
    said = call("completion", shell)
    assert said.code == 0
    assert f"_SEATRIAL_COMPLETE={shell}_complete" in said.out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("seatrial ga", {"gate"}),
        ("seatrial targets s", {"show", "schema"}),
        ("seatrial bench x --device lo", {"local"}),
        ("seatrial export m:f --target raspberry-pi-5-i", {"raspberry-pi-5-int8"}),
        ("seatrial targets show x86-64-cpu-fp3", {"x86-64-cpu-fp32"}),
    ],
)
def test_bash_completes(line: str, offered: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        eval "$('{PROGRAM}' completion bash)"
        COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _seatrial_completion '{PROGRAM}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


def test_the_options_know_the_defaults_of_the_plan() -> None:
    from seatrial.commands.options import RUN_SECONDS, WARMUP_MIN_NS, plan_changes
    from seatrial_runner.plan import Plan

    assert (Plan().warmup_min_ns, Plan().run_seconds) == (WARMUP_MIN_NS, RUN_SECONDS)
    nothing = dict.fromkeys(inspect.signature(plan_changes).parameters)
    assert plan_changes(**nothing | {"warmup_seconds": 4})["warmup_min_ns"] == WARMUP_MIN_NS
