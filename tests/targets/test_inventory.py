"""The inventory: devices, how they are reached, and what must not stand in it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from seatrial_targets import inventory, registry
from seatrial_targets.errors import ConfigError, UnknownNameError
from seatrial_targets.inventory import Device, Inventory

LAB = """
devices:
  lab-pi:
    target: raspberry-pi-5-int8
    transport: ssh
    host: lab-pi
    jump: gate.example
    key: ~/.ssh/lab key
    sensors: {vin: /sys/class/hwmon/hwmon2/power1_input}
    tags: [lab, pi]
  phone:
    target: android-arm64-int8
    transport: adb
    serial: R58M123ABC
  emulated:
    target: arm64-cpu-fp32
    transport: ssh
    address: 10.9.0.2
    port: 2222
    user: bench
    root: /var/tmp/sea trial
    library: /opt/ort/libonnxruntime.so
    stamp: qemu-user arm64
"""


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "devices.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        inventory.load(written(tmp_path, text))
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_a_lab(tmp_path: Path) -> None:
    lab = inventory.load(written(tmp_path, LAB))
    assert set(lab.devices) == {"local", "lab-pi", "phone", "emulated"}
    pi = lab.get("lab-pi")
    assert (pi.name, pi.ssh_config_host, pi.jump, pi.key, pi.tags) == (
        "lab-pi", "lab-pi", "gate.example", "~/.ssh/lab key", ("lab", "pi"),
    )  # fmt: skip
    assert lab.get("phone").serial == "R58M123ABC"
    emulated = lab.get("emulated")
    assert (emulated.address, emulated.port, emulated.user, emulated.stamp) == (
        "10.9.0.2", 2222, "bench", "qemu-user arm64",
    )  # fmt: skip


def test_local_is_always_there() -> None:
    local = inventory.load().get("local")
    assert (local.name, local.transport, local.stamp) == ("local", "local", "")
    assert registry.get(local.target).selects(machine=platform.machine())
    assert Inventory(devices={}).get("local") == local


def test_a_machine_without_a_generic_target_has_no_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert inventory.load().devices == {}


def test_local_may_be_described_otherwise(tmp_path: Path) -> None:
    text = "devices: {local: {target: x86-64-cpu-int8, transport: local}}\n"
    assert inventory.load(written(tmp_path, text)).get("local").target == "x86-64-cpu-int8"


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    home = tmp_path / "config" / "seatrial"
    home.mkdir(parents=True)
    (home / "devices.yaml").write_text("devices: {far: {target: x86-64-cpu-fp32, transport: local}}\n")
    assert "far" in inventory.load().devices
    written(tmp_path, "devices: {near: {target: x86-64-cpu-fp32, transport: local}}\n")
    assert set(inventory.load().devices) == {"local", "near"}
    with pytest.raises(ConfigError, match="can't be read"):
        inventory.load(tmp_path / "none.yaml")


def test_unknown_device_suggests(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'lab-pie'; did you mean 'lab-pi'"):
        inventory.load(written(tmp_path, LAB)).get("lab-pie")


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = """devices:
  lab-pi:
    target: raspberry-pi-5-int9
    transport: ssh
    adress: 192.0.2.7
    password: hunter2
    port: 70000
  "bad name":
    target: raspberry-pi-5-int8
    transport: telnet
"""
    assert problems(tmp_path, text).splitlines() == [
        "devices.yaml:3:13: devices.lab-pi.target: unknown target 'raspberry-pi-5-int9'; did you mean "
        "'raspberry-pi-5-int8'? `seatrial targets list` shows all",
        "devices.yaml:5:5: devices.lab-pi.adress: unknown key; did you mean 'address'?",
        "devices.yaml:6:5: devices.lab-pi.password: secrets don't belong in this file; use `key: PATH`, an ssh agent, "
        "or `host:` of ssh_config",
        "devices.yaml:7:11: devices.lab-pi.port: must be less than or equal to 65535, not 70000",
        "devices.yaml:8:3: devices.bad name: 'bad name' is not a name; use up to 64 letters, digits, '.', '_', '-' "
        "(not first)",
        "devices.yaml:10:16: devices.bad name.transport: 'telnet' is not one of local, ssh, adb, usbmux",
    ]


def test_a_secret_is_never_repeated(tmp_path: Path) -> None:
    for key in ("password", "passphrase", "token"):
        assert "hunter2" not in problems(tmp_path, f"devices: {{a: {{target: x86-64-cpu-fp32, {key}: hunter2}}}}\n")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("transport: ssh", "devices.yaml:1:14: devices.a: transport ssh needs `address:` or `host:`"),
        ("transport: adb", "devices.yaml:1:14: devices.a: transport adb needs `serial:`"),
        ("transport: ssh, address: -oProxyCommand=x", "devices.a.address: '-oProxyCommand=x' must be one word"),
        ("transport: adb, serial: a b", "devices.a.serial: 'a b' must be one word"),
        ("transport: local, user: ''", "devices.a.user: must have at least 1 character, not ''"),
        ("transport: local, serial: 123", "devices.a.serial: must be text; put it in quotes: '123'"),
        ("transport: local, tags: pi", "devices.a.tags: must be a list, not 'pi'"),
    ],
)
def test_bad_devices(tmp_path: Path, fields: str, problem: str) -> None:
    assert problem in problems(tmp_path, f"devices: {{a: {{target: x86-64-cpu-fp32, {fields}}}}}\n")


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "a b", "ä", "x" * 65, "''", ".hidden", "a:b"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    quoted = name if name == "''" else f"'{name}'"
    assert "is not a name" in problems(
        tmp_path, f"devices: {{{quoted}: {{target: x86-64-cpu-fp32, transport: local}}}}\n"
    )


def test_a_device_made_in_python_and_read_back() -> None:
    device = Device(name="x", target="made-up", transport="ssh", ssh_config_host="pi")
    assert Device.model_validate(device.model_dump(mode="json", by_alias=True)) == device
    assert device.model_dump(by_alias=True)["host"] == "pi"
