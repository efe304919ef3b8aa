"""From a row and an ssh_config to an endpoint; OpenSSH's own `ssh -G` is the judge where it can be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from seatrial_runner.transport.ssh_config import Endpoint, endpoint
from seatrial_targets.errors import UserError
from seatrial_targets.inventory import Device


def row(**keys: object) -> Device:
    return Device.model_validate({"name": "d", "target": "arm64-cpu-fp32", "transport": "ssh", **keys})


def as_openssh_reads_it(config: Path, name: str) -> dict[str, str]:
    out = subprocess.run(["ssh", "-F", config, "-G", name], capture_output=True, text=True, check=True).stdout
    return dict(line.partition(" ")[::2] for line in reversed(out.splitlines()))


@pytest.mark.parametrize("name", ["bare", "lab-1", "lab-2", "after", "other"])
def test_includes_are_read_as_openssh_reads_them(own_home: Path, name: str) -> None:
    folder = own_home / ".ssh"
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "lab").write_text("Host lab-*\n Port 2222\n User labuser\n")
    (folder / "conf.d" / "rest").write_text("Host lab-2\n HostName 10.0.0.2\n")
    config = folder / "config"
    config.write_text(
        f"Include {folder}/conf.d/*\nUser everybody\nHost after\n Port 2023\n"
        "Host=other\n  Port=2024\nHost *\n Port 2025\n"
    )
    judged, found = as_openssh_reads_it(config, name), endpoint(row(host=name))
    assert (found.host, str(found.port), found.user) == (judged["hostname"], judged["port"], judged["user"])


def test_the_row_goes_before_ssh_config(own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host d\n HostName 10.0.0.1\n Port 1\n User one\n IdentityFile ~/one\n")
    found = endpoint(row(host="d", address="10.0.0.2", port=2, user="two", key="~/two"))
    assert (found.host, found.port, found.user, found.keys) == ("10.0.0.2", 2, "two", (own_home / "two",))


def test_ssh_config_is_not_read_for_a_plain_address(own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host *\n Port 2222\n")
    assert endpoint(row(address="10.0.0.2")).port == 22


def test_where_the_host_key_is_kept(own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host d\n HostKeyAlias board-7\n UserKnownHostsFile ~/a ~/b\n")
    found = endpoint(row(host="d", port=2222))
    assert (found.known_as, found.known_hosts) == ("board-7", (own_home / "a", own_home / "b"))
    assert Endpoint("h", 22, "u").known_as == "h"
    assert Endpoint("h", 2222, "u").known_as == "[h]:2222"


@pytest.mark.parametrize(
    ("jump", "hops"),
    [
        ("gate", [("gate", 22)]),
        ("u@gate:2222", [("gate", 2222)]),
        ("one,two:23", [("one", 22), ("two", 23)]),
        ("[fe80::1]:2222", [("fe80::1", 2222)]),
        ("[fe80::1]", [("fe80::1", 22)]),
    ],
)
def test_jump_hosts(own_home: Path, jump: str, hops: list[tuple[str, int]]) -> None:
    assert [(hop.host, hop.port) for hop in endpoint(row(address="a", jump=jump)).jumps] == hops


@pytest.mark.parametrize("jump", ["gate:port", "u@", ",gate", "gate,"])
def test_a_jump_host_that_is_none(own_home: Path, jump: str) -> None:
    with pytest.raises(UserError, match="jump host"):
        endpoint(row(address="a", jump=jump))
