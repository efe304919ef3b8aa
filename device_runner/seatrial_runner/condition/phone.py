"""Android's own settings, through `settings`, `svc`, `cmd` and `am`; the shell user of adb may set them.

Sources: developer.android.com, "Fixed performance mode" and "Android Debug Bridge"; AOSP, cmds/svc and ShellCommands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from .units import Change, Unit

IS_ANDROID = "command -v settings >/dev/null || exit 0\n"
GET = "printf '{0}\\t%s\\n' \"$(settings get {1} {0})\"\n"


class Screen(Unit):
    """Screen on, as dark as it goes, and staying so: with it off, phones move what runs to their slow cores."""

    name = "screen"
    needs = "login"
    READ = (
        IS_ANDROID
        + GET.format("stay_on_while_plugged_in", "global")
        + GET.format("screen_brightness_mode", "system")
        + GET.format("screen_brightness", "system")
        + "dumpsys power | while read -r l; do\n"
        + "  case $l in mWakefulness=*) printf 'wakefulness\\t%s\\n' \"${l#*=}\";; esac\n"
        + "done\n"
    )
    WANTED: ClassVar[Mapping[str, tuple[str, str]]] = {
        "stay_on_while_plugged_in": ("global", "7"),  # on any kind of power
        "screen_brightness_mode": ("system", "0"),  # by hand
        "screen_brightness": ("system", "0"),
    }

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the changes of the three settings, and the key press that wakes the screen."""
        changes = [
            _setting(space, key, found[key], wanted)
            for key, (space, wanted) in self.WANTED.items()
            if found.get(key, wanted) != wanted
        ]
        if found.get("wakefulness", "Awake") != "Awake":
            changes.append(Change("screen off -> on", "input keyevent KEYCODE_WAKEUP", "input keyevent KEYCODE_SLEEP"))
        return changes

    def told(self, found: Mapping[str, str]) -> str:
        """Return "screen Asleep"."""
        return f"screen {found.get('wakefulness', 'unknown')}"


class PowerSave(Unit):
    """Battery saver off: it lowers clocks."""

    name = "power-save"
    needs = "login"
    READ = IS_ANDROID + GET.format("low_power", "global")

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change, where it is on."""
        return [_setting("global", "low_power", "1", "0")] if found.get("low_power") == "1" else []

    def told(self, found: Mapping[str, str]) -> str:
        """Return "battery saver on"."""
        return f"battery saver {'on' if found.get('low_power') == '1' else 'off'}"


class Airplane(Unit):
    """Airplane mode: no radio that wakes up and draws power. Not where adb itself comes over the air."""

    name = "airplane"
    needs = "login"
    READ = (
        IS_ANDROID
        + GET.format("airplane_mode_on", "global")
        + GET.format("adb_wifi_enabled", "global")
        + "printf 'adb_tcp_port\\t%s\\n' \"$(getprop service.adb.tcp.port)\"\n"
    )

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change, where it is off and would not cut us off."""
        if found.get("airplane_mode_on") != "0" or self.cannot(found):
            return []
        command = "cmd connectivity airplane-mode"
        return [Change("airplane mode off -> on", f"{command} enable", f"{command} disable")]

    def cannot(self, found: Mapping[str, str]) -> str:
        """Return why it would cut us off."""
        over_air = found.get("adb_wifi_enabled") == "1" or found.get("adb_tcp_port", "") not in ("", "-1", "0")
        on = found.get("airplane_mode_on") == "1"
        return "adb reaches the device over the network, which airplane mode would cut" if over_air and not on else ""

    def told(self, found: Mapping[str, str]) -> str:
        """Return "airplane mode off"."""
        return f"airplane mode {'on' if found.get('airplane_mode_on') == '1' else 'off'}"


class FixedPerformance(Unit):
    """Android's fixed performance mode: CPU and GPU clocks that can be held (Android 11, where the maker has it)."""

    name = "fixed-performance"
    needs = "login"
    blind = True
    COMMAND = "cmd power set-fixed-performance-mode-enabled"
    READ = (
        "command -v cmd >/dev/null || exit 0\n"
        "case \"$(cmd power help)\" in *set-fixed-performance-mode-enabled*) printf 'mode\\tunknown\\n' ;; esac\n"
    )

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the change, where there is such a mode: whether it is on already, no Android tells."""
        if "mode" not in found:
            return []
        return [Change("fixed performance mode on", f"{self.COMMAND} true", f"{self.COMMAND} false")]

    def told(self, found: Mapping[str, str]) -> str:
        """Return what is known, which is little."""
        return "fixed performance mode"


class Background(Unit):
    """Background apps ended, as far as Android calls that safe. They start again when they are wanted."""

    name = "background"
    needs = "login"
    blind = True
    READ = IS_ANDROID + "printf 'apps\\tmay run\\n'\n"

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        """Return the one command; there is nothing to take back."""
        return [Change("background apps ended", "am kill-all", "true")] if "apps" in found else []

    def told(self, found: Mapping[str, str]) -> str:
        """Return what is known."""
        return "background apps may run"


def _setting(space: str, key: str, old: str, new: str) -> Change:
    # A setting that was never made reads "null", and is unmade again.
    undo = f"settings delete {space} {key}" if not old.isdigit() else f"settings put {space} {key} {old}"
    return Change(f"{key}: {old} -> {new}", f"settings put {space} {key} {new}", undo)
