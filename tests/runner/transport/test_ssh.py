"""SSH against a real sshd: host keys, keys, ssh_config, jump hosts, and what happens when it dies."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from peers.devices import ssh_device, trusted
from peers.sshd import Sshd, free_port, make_key
from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport
from seatrial_runner.transport.ssh import fetch_host_key
from seatrial_targets.errors import (
    AuthenticationError,
    DeviceError,
    HostKeyError,
    LinkLostError,
    UnreachableError,
    UserError,
)
from seatrial_targets.inventory import Device

NewSshd = Callable[..., Sshd]


def soon() -> Deadline:
    return Deadline.after(120)


def hello(device: Device) -> bytes:
    with open_transport(device) as transport:
        return transport.run(["echo", "hello"], deadline=soon()).stdout


def test_an_unknown_host_key_is_shown_and_refused(sshd: Sshd, own_home: Path) -> None:
    listed = subprocess.run(["ssh-keygen", "-lf", sshd.host_key], capture_output=True, text=True, check=True)
    fingerprint = listed.stdout.split()[1]
    with pytest.raises(HostKeyError) as refused:
        open_transport(ssh_device(sshd))
    assert fingerprint in str(refused.value)
    assert "seatrial devices trust board" in str(refused.value)


def test_trust_writes_the_key_that_was_shown(sshd: Sshd, own_home: Path) -> None:
    key = fetch_host_key(ssh_device(sshd))
    assert key.line.split() == sshd.known_hosts_line().split()[:3]
    assert hello(trusted(ssh_device(sshd))) == b"hello\n"


def test_a_key_in_the_users_known_hosts_is_enough(sshd: Sshd, own_home: Path) -> None:
    known = own_home / ".ssh" / "known_hosts"
    known.write_text(sshd.known_hosts_line())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)  # names hashed
    assert hello(ssh_device(sshd)) == b"hello\n"


def test_a_changed_host_key_is_loud(sshd: Sshd, own_home: Path) -> None:
    device = trusted(ssh_device(sshd))
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    with pytest.raises(HostKeyError, match="HAS CHANGED") as refused:
        open_transport(device)
    remedy = str(refused.value).split("If the device was set up anew: ")[1].split(", then: ")[0]
    subprocess.run(remedy, shell=True, check=True, capture_output=True)
    with pytest.raises(HostKeyError, match="not known yet"):
        open_transport(device)
    assert hello(trusted(device)) == b"hello\n"


def test_a_wrong_key_is_refused(board: Device, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match=r"1 key offered.*ssh-copy-id"):
        open_transport(board.model_copy(update={"key": str(make_key(tmp_path / "other"))}))


def test_a_wrong_user_is_refused(board: Device) -> None:
    with pytest.raises(AuthenticationError, match="nobody-here@127"):
        open_transport(board.model_copy(update={"user": "nobody-here"}))


def test_a_key_that_is_not_there_is_named(board: Device, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="absent does not exist"):
        open_transport(board.model_copy(update={"key": str(tmp_path / "absent")}))


def test_a_file_that_is_no_key_is_named(board: Device, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a key\n")
    with pytest.raises(AuthenticationError, match="text can't be read"):
        open_transport(board.model_copy(update={"key": str(tmp_path / "text")}))


@pytest.fixture
def locked_key(sshd: Sshd, tmp_path: Path) -> Path:
    """A key that sshd accepts and that has a passphrase."""
    key = make_key(tmp_path / "locked", passphrase="secret")
    (sshd.folder / "authorized_keys").write_bytes(key.with_name("locked.pub").read_bytes())
    return key


def test_a_key_with_a_passphrase_points_at_the_agent(board: Device, locked_key: Path) -> None:
    with pytest.raises(AuthenticationError, match=f"{locked_key} has a passphrase: ssh-add {locked_key}"):
        open_transport(board.model_copy(update={"key": str(locked_key)}))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A running ssh-agent."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not path.exists():
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield
    process.kill()
    process.wait()


def test_the_agent_gives_a_key_with_a_passphrase(board: Device, locked_key: Path, agent: None, tmp_path: Path) -> None:
    open_copy = tmp_path / "unlocked"
    shutil.copy(locked_key, open_copy)
    open_copy.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", open_copy], check=True)
    subprocess.run(["ssh-add", "-q", open_copy], check=True)
    assert hello(board.model_copy(update={"key": str(locked_key)})) == b"hello\n"


def test_a_server_that_takes_no_keys_says_so(new_sshd: NewSshd, own_home: Path) -> None:
    server = new_sshd("PubkeyAuthentication no", "KbdInteractiveAuthentication yes")
    with pytest.raises(AuthenticationError, match="refused us"):
        open_transport(trusted(ssh_device(server)))


def test_nobody_listens(own_home: Path) -> None:
    device = Device(name="off", target="x86-64-cpu-fp32", transport="ssh", address="127.0.0.1", port=free_port())
    with pytest.raises(UnreachableError, match="refused; is sshd running"):
        open_transport(device)


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.0 400 no\r\n\r\n", b"", b"\0" * 100_000, b"SSH-2.0-x\r\n" + b"\xff" * 4096]
)
def test_something_else_listens(own_home: Path, greeting: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_greet, args=(server, greeting))
        answering.start()
        port = server.getsockname()[1]
        device = Device(name="web", target="x86-64-cpu-fp32", transport="ssh", address="127.0.0.1", port=port)
        with pytest.raises(UnreachableError, match="web: no SSH connection"):
            open_transport(device)
        answering.join()
    assert capfd.readouterr().err == ""


def _greet(server: socket.socket, greeting: bytes) -> None:
    wire, _ = server.accept()
    with wire, suppress(ConnectionError):
        wire.sendall(greeting)
        wire.shutdown(socket.SHUT_WR)
        while wire.recv(4096):
            pass


def test_ssh_config_with_include_and_jump(new_sshd: NewSshd, own_home: Path) -> None:
    gate, inner = new_sshd(), new_sshd()
    (own_home / ".ssh" / "more").write_text(
        f"Host gate\n HostName 127.0.0.1\n Port {gate.port}\n IdentityFile {gate.key}\n"
    )
    (own_home / ".ssh" / "config").write_text(
        f"Include more\nHost inner\n HostName 127.0.0.1\n Port {inner.port}\n IdentityFile {inner.key}\n"
        " ProxyJump gate\n"
    )
    device = Device.model_validate({"name": "inner", "target": "x86-64-cpu-fp32", "transport": "ssh", "host": "inner"})
    first = fetch_host_key(device)
    assert first.known_as == f"[127.0.0.1]:{gate.port}"  # hop by hop: nothing is sent through an untrusted gate
    trusted(device)
    assert fetch_host_key(device).known_as == f"[127.0.0.1]:{inner.port}"
    assert hello(trusted(device)) == b"hello\n"


def test_jump_in_the_inventory(new_sshd: NewSshd, own_home: Path) -> None:
    gate, inner = new_sshd(), new_sshd()
    shutil.copy(gate.key, own_home / ".ssh" / "id_ed25519")
    device = ssh_device(inner, jump=f"{gate.user}@127.0.0.1:{gate.port}")
    assert hello(trusted(trusted(device))) == b"hello\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Host b\n ProxyCommand nc %h %p\n", "ProxyCommand"),
        ("Host b\n nonsense\n", "config: "),
        ("Include config\n", "levels"),
    ],
)
def test_ssh_config_that_can_not_be_used(own_home: Path, text: str, says: str) -> None:
    (own_home / ".ssh" / "config").write_text(text)
    row = {"name": "b", "target": "x86-64-cpu-fp32", "transport": "ssh", "host": "b"}
    with pytest.raises(UserError, match=says):
        open_transport(Device.model_validate(row))


def test_a_login_that_runs_no_shell_is_explained_without_its_escapes(new_sshd: NewSshd, own_home: Path) -> None:
    device = trusted(ssh_device(new_sshd(r"ForceCommand printf '\033[31m\007no login\r\n'")))
    with pytest.raises(LinkLostError) as error:
        open_transport(device)
    assert "no login" in str(error.value)
    assert "\033" not in str(error.value)
    assert "\007" not in str(error.value)


@pytest.fixture
def transport(board: Device) -> Iterator[Transport]:
    with open_transport(board) as opened:
        yield opened


def test_sshd_killed_mid_run(
    sshd: Sshd,
    transport: Transport,
    nap: list[str],
    running: Callable[[list[str]], bool],
    until: Callable[[Callable[[], bool]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(LinkLostError, match="seatrial devices check board"):
        transport.run(["sh", "-c", f'{" ".join(nap)} & kill "$@"; wait', "-", *_sessions(sshd)], deadline=soon())
    until(lambda: not running(nap))
    with pytest.raises(LinkLostError):
        transport.run(["true"], deadline=soon())
    assert capfd.readouterr().err == ""


def _sessions(sshd: Sshd) -> list[str]:
    return [str(pid) for pid in sshd.sessions()]


def test_sshd_killed_mid_push_and_resumed(sshd: Sshd, board: Device, transport: Transport, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(os.urandom(40_000_000))
    remote = f"{transport.root}/big"

    def kill_half_way(done: int, total: int) -> None:
        if done > total / 2:
            sshd.kill_sessions()

    with pytest.raises(LinkLostError):
        transport.push(source, remote, deadline=soon(), progress=kill_half_way)
    assert not Path(remote).exists()
    with open_transport(board) as again:
        sent = again.push(source, remote, deadline=soon())
    assert 0 < sent < 40_000_000
    assert Path(remote).read_bytes() == source.read_bytes()


def test_no_more_sessions(new_sshd: NewSshd, own_home: Path) -> None:
    with pytest.raises(DeviceError, match="no more sessions"):
        open_transport(trusted(ssh_device(new_sshd("MaxSessions 0"))))
