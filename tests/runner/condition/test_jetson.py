"""Power mode, clocks and fan of a Jetson: set only with leave, always taken back, and never a yes to a reboot.

nvpmodel and jetson_clocks are stand-ins that move files; shell, journal and transport are the real ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.trt import SOURCES
from seatrial_runner.condition.jetson import STORE, JetsonClocks, JetsonFan, PowerMode
from seatrial_runner.condition.prepare import prepare_units
from seatrial_runner.condition.units import Unit, get_unit
from seatrial_runner.run import sweep
from seatrial_runner.transport import Transport, open_transport
from seatrial_targets.inventory import Device

FILES = {
    "etc/nvpmodel.conf": "".join(
        f"< POWER_MODEL ID={number} NAME={name} >\n" for number, name in enumerate(["15W", "25W", "MAXN_SUPER"])
    ),
    "var/lib/nvpmodel/status": "pmode:0001\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "115200\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1510400\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "918000000\n",
    "sys/devices/platform/pwm-fan/hwmon/hwmon0/pwm1": "77\n",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a Jetson below a folder, and the stand-ins on the PATH."""
    root = tmp_path / "jetson"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setenv("NVP", str(root))
    monkeypatch.setenv("PATH", f"{SOURCES}{os.pathsep}{os.environ['PATH']}")
    return root


@pytest.fixture
def transport(here: Device) -> Iterator[Transport]:
    with open_transport(here) as opened:
        yield opened


def there(unit: Unit, tree: Path) -> Unit:
    """The unit, reading (and for the fan writing) below ``tree`` instead of at the real paths."""
    read = unit.READ
    for folder in ("/etc/", "/var/", "/sys/"):
        read = read.replace(f" {folder}", f" {tree}{folder}").replace(f"< {folder}", f"< {tree}{folder}")
    unit.READ = read  # type: ignore[misc]
    return unit


def mode(tree: Path) -> str:
    return (tree / "var/lib/nvpmodel/status").read_text().strip()


def test_the_power_mode_is_told_and_left_alone(transport: Transport, tree: Path) -> None:
    (prepared,) = prepare_units(transport, [there(PowerMode(), tree)], "login")
    assert prepared.outcome == "as wanted"
    assert (prepared.found["mode"], prepared.found["number"]) == ("25W", "1")
    assert mode(tree) == "pmode:0001"


def test_a_wanted_power_mode_is_set_and_taken_back(transport: Transport, tree: Path) -> None:
    (prepared,) = prepare_units(transport, [there(PowerMode("MAXN_SUPER"), tree)], "login")
    assert (prepared.outcome, prepared.now["mode"]) == ("set", "MAXN_SUPER")
    assert mode(tree) == "pmode:0002"
    assert sweep(transport) == ()
    assert mode(tree) == "pmode:0001"


def test_without_leave_it_stays(transport: Transport, tree: Path) -> None:
    (prepared,) = prepare_units(transport, [there(PowerMode("MAXN_SUPER"), tree)], None)
    assert prepared.outcome == "not set"
    assert "power mode 25W: devices.yaml gives no leave" in prepared.reason
    assert mode(tree) == "pmode:0001"


def test_a_board_that_wants_to_reboot_is_never_told_yes(transport: Transport, tree: Path) -> None:
    (tree / "reboots").touch()
    (prepared,) = prepare_units(transport, [there(PowerMode("15W"), tree)], "login")
    assert prepared.outcome == "not set"
    assert "wants to reboot for it, which we never let it; set it yourself: sudo nvpmodel -m 0" in prepared.reason
    assert sweep(transport) == ()
    assert not (tree / "rebooted").exists()
    assert mode(tree) == "pmode:0001"


def test_a_mode_that_the_board_does_not_have(transport: Transport, tree: Path) -> None:
    (prepared,) = prepare_units(transport, [there(PowerMode("MAXN"), tree)], "login")
    assert prepared.outcome == "not set"
    assert "no power mode MAXN; it has 15W, 25W, MAXN_SUPER" in prepared.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything; over ssh see test_devices.py of TensorRT")
def test_permission_denied_on_nvpmodel(transport: Transport, tree: Path) -> None:
    (tree / "var/lib/nvpmodel/status").chmod(0o444)
    (prepared,) = prepare_units(transport, [there(PowerMode("15W"), tree)], "login")
    assert "Permission denied; it needs root: log in as root, or allow_changes: sudo" in prepared.reason


def test_clocks_are_locked_and_restored(transport: Transport, tree: Path) -> None:
    gpu = tree / "sys/class/devfreq/17000000.gpu/min_freq"
    (prepared,) = prepare_units(transport, [there(JetsonClocks(), tree)], "login")
    assert prepared.outcome == "set"
    assert gpu.read_text() == "918000000\n"
    assert Path(transport.root, STORE).exists()
    assert sweep(transport) == ()
    assert gpu.read_text() == "306000000\n"
    assert not Path(transport.root, STORE).exists()


def test_clocks_that_are_locked_are_left_alone(transport: Transport, tree: Path) -> None:
    for folder, low, high in (("system/cpu/cpufreq/policy0", "scaling_min_freq", "scaling_max_freq"),):
        place = tree / "sys/devices" / folder
        (place / low).write_text((place / high).read_text())
    gpu = tree / "sys/class/devfreq/17000000.gpu"
    (gpu / "min_freq").write_text((gpu / "max_freq").read_text())
    (prepared,) = prepare_units(transport, [there(JetsonClocks(), tree)], "login")
    assert prepared.outcome == "as wanted"
    assert not Path(transport.root, STORE).exists()


def test_a_store_that_an_earlier_session_left_does_not_stop_it(transport: Transport, tree: Path) -> None:
    """jetson_clocks asks before it overwrites, and nobody answers."""
    Path(transport.root, STORE).write_text("1 1\n")
    (prepared,) = prepare_units(transport, [there(JetsonClocks(), tree)], "login")
    assert prepared.outcome == "set"
    assert sweep(transport) == ()
    assert (tree / "sys/class/devfreq/17000000.gpu/min_freq").read_text() == "306000000\n"


def test_which_clocks_are_loose_is_told() -> None:
    found = {"cpu policy0": "1 2", "gpu 17000000.gpu": "3 3"}
    assert JetsonClocks().told(found) == "clocks not locked (cpu policy0)"


def test_the_fan_and_its_service() -> None:
    found = {"pwm /sys/devices/platform/pwm-fan/hwmon/hwmon0/pwm1": "77", "service": "active", "pwm /etc/passwd": "3"}
    (change,) = JetsonFan().changes(found)
    assert change.make.startswith("systemctl stop nvfancontrol\necho 255 > /sys/devices/platform/pwm-fan")
    assert change.undo.endswith("pwm1\nsystemctl start nvfancontrol\n")
    assert "echo 77 > " in change.undo
    assert JetsonFan().changes({**found, "pwm /sys/devices/platform/pwm-fan/hwmon/hwmon0/pwm1": "255"}) == []


def test_a_machine_that_is_no_jetson_has_none_of_it(transport: Transport) -> None:
    prepared = prepare_units(transport, [PowerMode("15W"), JetsonClocks()], "login")
    assert {each.outcome for each in prepared} == {"absent"}


def test_names_in_a_profile() -> None:
    unit = get_unit("power-mode=15W")
    assert isinstance(unit, PowerMode)
    assert unit.wanted == "15W"
    assert isinstance(get_unit("clocks"), JetsonClocks)
    assert get_unit("clocks=fast") is None
    assert get_unit("governor=fast") is None
