"""What a phone tells through the program that reaches it: model, system, battery, whether our app is there."""

from __future__ import annotations

import json
import time
from typing import Any

from seatrial_targets.errors import DeviceError
from seatrial_targets.inventory import Device

from ...apple import APP_ID
from ...deadline import Deadline
from ...printable import printable
from ...records import DeviceState
from ...transport.base import Transport
from .links import STATE
from .phone import explain, link_of

SECONDS = 180.0
ANSWER_SECONDS = 45  # for the phone, or the human in front of it, to answer one question


def read_phone(device: Device, transport: Transport) -> DeviceState:
    """Return the phone's state now. Raises DeviceErrors that say what to do on the phone."""
    return parse_phone(_asked(device, transport), device)


def app_installed(device: Device, transport: Transport) -> bool:
    """Return whether our app is on the phone. Raises as `read_phone` does."""
    return _asked(device, transport).rstrip().endswith(b"app yes")


def _asked(device: Device, transport: Transport) -> bytes:
    link = link_of(device)
    argv = ["sh", "-c", link.functions + STATE, "seatrial", str(device.serial), APP_ID, str(ANSWER_SECONDS)]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=4 << 20)
    if not done.ok:
        explain(device, link, done)
    return done.stdout


def parse_phone(text: bytes, device: Device) -> DeviceState:
    """Return the state in what `links.STATE` printed. Raises DeviceError when it holds no facts."""
    body, _, rest = text.partition(b"\nbattery\n")
    facts = _facts(body.removeprefix(b"facts\n"))
    if not facts:
        raise DeviceError(f"{device.name}: the phone's facts came back empty; unlock it and try again")
    return DeviceState(unix_ns=time.time_ns(), machine="arm64", **facts, **_battery(rest.rpartition(b"app ")[0]))


def _facts(raw: bytes) -> dict[str, Any]:
    found = _object(raw)
    if "result" in found:  # devicectl: https://developer.apple.com/documentation/xcode-release-notes, JSON version 2
        result = found["result"] if isinstance(found["result"], dict) else {}
        properties, hardware = (_part(result, f"{name}Properties") for name in ("device", "hardware"))
        found = {
            "ProductVersion": properties.get("osVersionNumber"),
            "BuildVersion": properties.get("osBuildUpdate"),
            "ProductType": hardware.get("productType"),
        }
    version, build, model = (_word(found.get(f"{key}")) for key in ("ProductVersion", "BuildVersion", "ProductType"))
    if not (version and model):
        return {}
    return {"os": f"iOS {version}" + (f" ({build})" if build else ""), "kernel": build, "model": model}


def _battery(raw: bytes) -> dict[str, Any]:
    """IORegistry's AppleSmartBattery: percent, centidegrees Celsius (kernel sources of PowerManagement)."""
    found = _object(raw)
    percent, heat, charging = (found.get(key) for key in ("CurrentCapacity", "Temperature", "IsCharging"))
    state: dict[str, Any] = {}
    if isinstance(percent, int) and 0 <= percent <= 100:
        state["battery_percent"] = float(percent)
    if isinstance(heat, int) and -5000 < heat < 15000:
        state["temperatures_c"] = {"battery": heat / 100}
    if isinstance(charging, bool):
        state["charging"] = charging
    return state


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    return part if isinstance(part, dict) else {}


def _word(value: Any) -> str:
    return printable(value.encode(), 100) if isinstance(value, str) else ""
