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
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from . import registry
from .errors import UnknownNameError
from .located import load as load_located
from .profile import Name, architecture
from .spec import Spec

LOCAL = "local"
_GENERIC = {"x86_64": "x86-64-cpu-fp32", "aarch64": "arm64-cpu-fp32", "armv7l": "armv7-cpu-fp32"}
_NEEDS = {"ssh": ("address", "host"), "adb": ("serial",), "local": ()}
_SECRETS = ("password", "passphrase", "passwd", "secret", "token")
Text = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f]*$")]


class Device(Spec):
    """One physical unit: what class it is of and how it is reached. Holds no secrets, only paths of key files.

    ``stamp`` is for what is not real hardware ("qemu-user arm64"): results carry it and no gate
    takes them as a baseline.
    """

    name: Name = ""
    target: Text
    transport: Literal["local", "ssh", "adb"]
    address: Text | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: Text | None = None
    key: Text | None = None
    ssh_config_host: Annotated[Text | None, Field(validation_alias="host", serialization_alias="host")] = None
    jump: Text | None = None
    serial: Text | None = None
    root: Text | None = None
    library: Text | None = None
    sensors: dict[str, Text] = Field(default_factory=dict)
    tags: tuple[Text, ...] = ()
    stamp: Annotated[str, Field(max_length=256)] = ""

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, value: Any) -> Any:
        for secret in _SECRETS if isinstance(value, dict) else ():
            if secret in value:
                raise ValueError(f"{secret!r} does not belong in this file; use `key: PATH`, an ssh agent or `host:`")
        return value

    @field_validator("target")
    @classmethod
    def _known_target(cls, name: str) -> str:
        if not name.endswith((".yaml", ".yml")) and name not in registry.names():
            raise ValueError(
                str(UnknownNameError("target", name, registry.names(), "`seatrial targets list` shows all"))
            )
        return name

    @model_validator(mode="after")
    def _reachable(self) -> Device:
        if self.transport == "ssh" and not (self.address or self.ssh_config_host):
            raise ValueError("transport ssh needs `address:` or `host:` (an entry of ssh_config)")
        if self.transport == "adb" and not (self.serial or self.address):
            raise ValueError("transport adb needs `serial:` (see `adb devices`) or `address:`")
        return self


def local_device() -> Device:
    """Return this machine as a device, of the generic FP32 target of its architecture."""
    machine = architecture(platform.machine())
    return Device(name=LOCAL, target=_GENERIC.get(machine, f"{machine}-cpu-fp32"), transport="local")


class Inventory(Spec):
    """All devices by name; the built-in `local` is always among them."""

    devices: dict[Name, Device] = Field(default_factory=dict)

    @field_validator("devices", mode="after")
    @classmethod
    def _named(cls, devices: dict[str, Device]) -> dict[str, Device]:
        named = {name: device.model_copy(update={"name": name}) for name, device in devices.items()}
        return {LOCAL: local_device(), **named}

    @model_validator(mode="after")
    def _with_local(self) -> Inventory:
        if LOCAL not in self.devices:
            self.devices[LOCAL] = local_device()
        return self

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
