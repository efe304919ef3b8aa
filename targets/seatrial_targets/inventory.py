"""Which devices you own and how to reach them: `devices.yaml`.

devices:
  lab-pi:
    target: raspberry-pi-5-int8
    transport: ssh
    address: 192.0.2.7
    user: bench
    key: ~/.ssh/lab
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from . import registry
from .errors import UnknownNameError, UserError
from .located import load as load_located
from .meter import ExternalMeter
from .profile import Name, architecture
from .spec import Spec
from .units import FROM_FILE

LOCAL = "local"
_GENERIC = {"x86_64": "x86-64-cpu-fp32", "aarch64": "arm64-cpu-fp32", "armv7l": "armv7-cpu-fp32"}
_NO_SECRETS = "secrets don't belong in this file; use `key: PATH`, an ssh agent, or `host:` of ssh_config"
Text = Annotated[str, Field(min_length=1, max_length=1024)]


def _word(text: str) -> str:
    if not re.fullmatch(r"[^\s-]\S*", text):
        raise ValueError(f"{text!r} must be one word that does not begin with '-'")
    return text


# Ends up on the command lines of ssh, adb or the device, where '-x' would be an option and a space a second word.
Word = Annotated[Text, AfterValidator(_word)]


def _path(text: str) -> str:
    if text.startswith("-") or any(ord(c) < 32 for c in text):
        raise ValueError(f"{text!r} must not begin with '-' or hold control characters")
    return text


DevicePath = Annotated[Text, AfterValidator(_path)]


class Device(Spec):
    """One physical unit: what class it is of and how it is reached. Holds no secrets, only paths of key files.

    ``stamp`` is for what is not real hardware ("qemu-user arm64"): results carry it and no gate
    takes them as a baseline. ``allow_changes`` gives leave to set what the target's ``preparation`` names for the time
    of a session, and says with which right: that of the user we log in as, ``sudo -n``, or Android's ``su``. ``meter``
    is a power meter beside the device; it goes before those that the device has itself.
    """

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("password", "passwd", "passphrase", "secret", "token", "pin"), _NO_SECRETS
    )

    name: Name = "unnamed"
    target: Text
    transport: Literal["local", "ssh", "adb", "usbmux"]
    address: Word | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: Word | None = None
    key: Text | None = None
    ssh_config_host: Annotated[Word | None, Field(validation_alias="host", serialization_alias="host")] = None
    jump: Word | None = None
    serial: Word | None = None
    root: DevicePath | None = None
    library: Text | None = None
    trtexec: DevicePath | None = None  # where it lies on the device, when it is not where JetPack puts it
    runner: Literal["trtexec", "python"] = "trtexec"  # what makes the runs of TensorRT
    sensors: dict[str, Text] = Field(default_factory=dict)
    tags: tuple[Text, ...] = ()
    stamp: Annotated[str, Field(max_length=256)] = ""
    allow_changes: Literal["login", "sudo", "su"] | None = None
    meter: ExternalMeter | None = None

    @field_validator("target")
    @classmethod
    def _known_target(cls, name: str, info: ValidationInfo) -> str:
        if (info.context or {}).get(FROM_FILE):
            try:
                registry.source_of(name)
            except UserError as error:
                raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _reachable(self) -> Device:
        if self.transport == "ssh" and not (self.address or self.ssh_config_host):
            raise ValueError("transport ssh needs `address:` or `host:` (an entry of ssh_config)")
        if self.transport == "usbmux" and not self.serial:
            raise ValueError("transport usbmux needs `serial:`, the phone's UDID (see `pymobiledevice3 usbmux list`)")
        if self.transport == "adb" and not (self.serial or self.address):
            raise ValueError("transport adb needs `serial:` (see `adb devices`) or `address:`")
        return self


def local_devices() -> dict[str, Device]:
    """Return this machine as the device `local`, of the generic FP32 target of its architecture; {} if it has none."""
    target = _GENERIC.get(architecture(platform.machine()))
    return {LOCAL: Device(name=LOCAL, target=target, transport="local")} if target else {}


class Inventory(Spec):
    """All devices by name; the built-in `local` is always among them."""

    devices: dict[Name, Device] = Field(default_factory=local_devices)

    @field_validator("devices", mode="after")
    @classmethod
    def _named(cls, devices: dict[str, Device]) -> dict[str, Device]:
        named = {name: device.model_copy(update={"name": name}) for name, device in devices.items()}
        return local_devices() | named

    @classmethod
    def load(cls, path: Path | None = None) -> Inventory:
        """Return the inventory in ``path``, else in ./devices.yaml, else in the user's configuration, else bare.

        Raises ConfigError with every problem.
        """
        found = path or next((candidate for candidate in default_paths() if candidate.is_file()), None)
        return load_located(found, cls) if found else cls()

    def get(self, name: str) -> Device:
        """Return a device by name. Raises UnknownNameError."""
        if name not in self.devices:
            raise UnknownNameError("device", name, self.devices, "`seatrial devices list` shows all")
        return self.devices[name]


def default_paths() -> tuple[Path, ...]:
    """Return where an inventory is looked for when none is named, in order."""
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path("devices.yaml"), configuration / "seatrial" / "devices.yaml"


def load(path: Path | None = None) -> Inventory:
    """Return the inventory; see `Inventory.load`."""
    return Inventory.load(path)
