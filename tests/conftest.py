"""Real peers for tests: a home of one's own, an sshd on loopback, and the arm64 lab.

Every fixture that ends in a `Device` gives one that `open_transport` can open in the test that asked for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from peers import lab
from peers.devices import ssh_device, trusted
from peers.sshd import Sshd, find_sshd, free_port
from seatrial_targets.inventory import Device

# Tests never assert how long something took. A hundred of them draw examples, and others in each run.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the lab is slow: the first that asks for it builds an arm64 userland, and all of it is emulated."""
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without the user's keys, known hosts, ssh agent, caches."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def new_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sshd]]:
    """Starts sshds of one's own, to be killed at will; arguments are further lines for its configuration."""
    if find_sshd() is None:
        if os.geteuid() != 0:
            pytest.skip("needs sshd: apt install openssh-server")
        lab.packages()
    servers: list[Sshd] = []

    def start(*options: str, path: Path | None = None) -> Sshd:
        servers.append(Sshd(tmp_path_factory.mktemp("sshd"), *options, path=path))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def sshd(new_sshd: Callable[..., Sshd]) -> Sshd:
    """A running sshd on loopback."""
    return new_sshd()


@pytest.fixture
def board(sshd: Sshd, own_home: Path) -> Device:
    """This machine as an ssh device, its key trusted."""
    return trusted(ssh_device(sshd))


@pytest.fixture
def here(own_home: Path) -> Device:
    """This machine as the local device."""
    return Device(name="here", target="x86-64-cpu-fp32", transport="local")


@pytest.fixture(scope="session")
def adb_server() -> Iterator[int]:
    """The port of an adb server for the tests alone, so that the user's own is left in peace."""
    port = free_port()
    yield port
    environment = {**os.environ, "ANDROID_ADB_SERVER_PORT": str(port)}
    subprocess.run(["adb", "kill-server"], env=environment, capture_output=True, check=False)


@pytest.fixture(scope="session")
def lab_built() -> None:
    """The lab's tree, built; or a skip."""
    lab.require_root()
    lab.build()


@pytest.fixture(scope="session")
def pi_board(lab_built: None) -> Iterator[lab.LabDevice]:
    """The emulated arm64 board behind sshd, for pulling its cable and the like."""
    yield from _up(lab.LabDevice("pi", "sshd", 22))


@pytest.fixture(scope="session")
def droid_board(lab_built: None) -> Iterator[lab.LabDevice]:
    """The emulated arm64 board behind adbd."""
    yield from _up(lab.LabDevice("droid", "adbd", 5555))


def _up(device: lab.LabDevice) -> Iterator[lab.LabDevice]:
    try:
        device.up()
        yield device
    finally:
        device.down()


@pytest.fixture
def pi(pi_board: lab.LabDevice, own_home: Path) -> Device:
    """An arm64 device behind a real sshd, its key trusted."""
    return trusted(
        Device(
            name="pi",
            target="arm64-cpu-fp32",
            transport="ssh",
            address=pi_board.address,
            user="pi",
            key=str(lab.FOLDER / "key"),
            stamp="qemu-user arm64",
        )
    )


@pytest.fixture
def own_adb(adb_server: int, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes adb use the tests' own server."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)


@pytest.fixture
def droid(droid_board: lab.LabDevice, own_adb: None) -> Device:
    """An arm64 device behind a real adbd."""
    return Device(
        name="droid",
        target="android-arm64-fp32",
        transport="adb",
        address=droid_board.address,
        stamp="qemu-user arm64",
    )
