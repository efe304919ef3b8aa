"""The cells of a policy: each model on each device that it is for, with its bundles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial_ci.policy.schema import Policy
from seatrial_targets.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device, Inventory


@dataclass(frozen=True)
class Cell:
    """One model on one device. ``candidate`` and ``baseline`` are paths, or for a baseline a reference by name."""

    model: str
    device: str
    target: str
    candidate: str
    baseline: str = ""

    @property
    def name(self) -> str:
        """'small@lab-pi'."""
        return f"{self.model}@{self.device}"


def cells_of(policy: Policy, inventory: Inventory) -> tuple[Cell, ...]:
    """Return the cells of ``policy``, device by device. A device may be named by a tag of the inventory: ``tag:rack``.

    Raises UnknownNameError for a device that is not in the inventory; UserError for a model that no device is for.
    """
    devices = [device for name in policy.devices for device in _devices(name, inventory)]
    unique = {device.name: device for device in devices}
    cells = [cell for device in unique.values() for cell in _on(device, policy)]
    left_out = sorted(set(policy.models) - {cell.model for cell in cells})
    if left_out:
        targets = ", ".join(sorted({device.target for device in unique.values()}))
        raise UserError(f"no device of the policy is for the model {left_out[0]!r}; their targets are {targets}")
    return tuple(cells)


def _devices(name: str, inventory: Inventory) -> list[Device]:
    if not name.startswith("tag:"):
        return [inventory.get(name)]
    found = [device for device in inventory.devices.values() if name.removeprefix("tag:") in device.tags]
    if not found:
        tags = {f"tag:{tag}" for device in inventory.devices.values() for tag in device.tags}
        raise UnknownNameError("device", name, tags, "no device of the inventory has this tag")
    return found


def _on(device: Device, policy: Policy) -> Iterator[Cell]:
    for name, model in policy.models.items():
        if model.targets and device.target not in model.targets:
            continue
        baseline = model.baseline or policy.baseline or "" if policy.metrics.needs_baseline else ""
        baseline = baseline.replace("{target}", device.target).replace("{model}", name)
        candidate = model.candidate.replace("{target}", device.target).replace("{model}", name)
        yield Cell(name, device.name, device.target, candidate, baseline)
