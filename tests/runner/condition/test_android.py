"""What Android says of itself, in the form in which its services print it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.condition.phone import Airplane, Background, FixedPerformance, PowerSave, Screen
from seatrial_runner.condition.prepare import prepare_units
from seatrial_runner.condition.state import SCRIPT, parse_state
from seatrial_runner.run import sweep
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device

DUMPSYS = r"""#!/bin/sh
case "$*" in
thermalservice) cat <<'END'
IsStatusOverride: false
ThermalEventListeners:
	callbacks: 1
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=CPU-OLD, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=39.25, mType=1, mName=GPU, mStatus=0}
	Temperature{mValue=24.7, mType=3, mName=SKIN, mStatus=0}
	Temperature{mValue=0.0, mType=4, mName=USB, mStatus=0}
Current cooling devices from HAL:
END
;;
battery) cat <<'END'
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  health: 2
  present: true
  level: 87
  scale: 100
  voltage: 4312
  temperature: 287
END
;;
power) printf '%s\n' 'POWER MANAGER (dumpsys power)' '  mWakefulness=Dozing' '  mWakefulnessChanging=false' ;;
"deviceidle get deep") echo ACTIVE ;;
esac
"""
# Keeps settings as files, so that what is put can be got.
SETTINGS = r"""#!/bin/sh
store=${0%/*}/store; mkdir -p "$store"
case $1 in
get) cat "$store/$2.$3" 2>/dev/null || echo null ;;
put) printf '%s\n' "$4" > "$store/$2.$3" ;;
delete) rm -f "$store/$2.$3" ;;
esac
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs called as Android's are, first on PATH. A double: it knows only what these tests ask."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = {"dumpsys": DUMPSYS, "settings": SETTINGS, "getprop": "#!/bin/sh\n[ $# = 0 ] || echo\n"}
    said["cmd"] = (
        '#!/bin/sh\n[ "$*" = "power help" ] && echo set-fixed-performance-mode-enabled || echo "$*" >> "$0.log"\n'
    )
    said["input"] = said["am"] = '#!/bin/sh\necho "$*" >> "$0.log"\n'
    for name, script in said.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_the_state_of_a_phone(phone: Path):
    state = parse_state(subprocess.run(["sh", "-c", SCRIPT, "sh", "/tmp"], capture_output=True, check=True).stdout)
    assert (state.thermal_status, state.throttled) == (1, False)
    assert {k: v for k, v in state.temperatures_c.items() if k.startswith("hal ")} == {
        "hal CPU0": 41.5,
        "hal GPU": 39.25,
    }
    assert (state.battery_percent, state.charging, state.power_source) == (87, True, "usb")
    assert state.battery_temperature_c == 28.7
    assert (state.screen_on, state.idle_mode) == (False, "ACTIVE")
    assert state.airplane is None  # "null": never set
    assert state.os.startswith("Android")


def test_between_runs_only_what_may_change_is_asked_for(phone: Path):
    argv = ["sh", "-c", SCRIPT, "sh", "/tmp", "brief"]
    state = parse_state(subprocess.run(argv, capture_output=True, check=True).stdout)
    assert (state.thermal_status, state.battery_percent) == (1, 87)
    assert (state.os, state.screen_on, state.disk_free) == ("", None, None)


@pytest.mark.parametrize(("status", "throttled"), [(0, False), (1, False), (2, True), (6, True)])
def test_from_moderate_on_a_phone_holds_itself_back(status: int, throttled: bool):
    assert parse_state(f"android thermal\tThermal Status: {status}".encode()).throttled is throttled


@given(st.sampled_from(["thermal", "battery", "power", "idle", "airplane", "low_power", "current", "x"]), st.text())
def test_whatever_android_says_is_a_state(key: str, value: str):
    parse_state(f"android {key}\t{value}".encode("utf-8", "surrogatepass"))


def test_a_phones_settings_are_set_and_taken_back(phone: Path, here: Device):
    store = phone / "store"
    store.mkdir()
    (store / "global.low_power").write_text("1\n")
    (store / "system.screen_brightness").write_text("180\n")
    with open_transport(here) as transport:
        units = [Screen(), PowerSave(), FixedPerformance(), Background()]
        prepared = {p.unit: p for p in prepare_units(transport, units, "login")}
        assert {name: p.outcome for name, p in prepared.items()} == {
            "screen": "not set",  # the double stays asleep whatever key is pressed
            "power-save": "set",
            "fixed-performance": "set",
            "background": "set",
        }
        assert (store / "global.low_power").read_text() == "0\n"
        assert (store / "system.screen_brightness").read_text() == "0\n"
        assert sweep(transport) == ()
    assert (store / "global.low_power").read_text() == "1\n"
    assert (store / "system.screen_brightness").read_text() == "180\n"
    assert not (store / "global.stay_on_while_plugged_in").exists()
    fixed = "power set-fixed-performance-mode-enabled"
    assert (phone / "cmd.log").read_text() == f"{fixed} true\n{fixed} false\n"
    assert (phone / "input.log").read_text() == "keyevent KEYCODE_WAKEUP\nkeyevent KEYCODE_SLEEP\n"


def test_airplane_mode_does_not_cut_the_branch_it_sits_on():
    found = {"airplane_mode_on": "0", "adb_wifi_enabled": "0", "adb_tcp_port": ""}
    assert len(Airplane().changes(found)) == 1
    for over_air in ({"adb_wifi_enabled": "1"}, {"adb_tcp_port": "5555"}):
        assert Airplane().changes({**found, **over_air}) == []
        assert "would cut" in Airplane().cannot({**found, **over_air})


def test_a_device_that_is_no_phone_lacks_a_phones_settings(here: Device):
    with open_transport(here) as transport:
        prepared = prepare_units(
            transport, [Screen(), PowerSave(), Airplane(), FixedPerformance(), Background()], "login"
        )
    assert {p.outcome for p in prepared} == {"absent"}
