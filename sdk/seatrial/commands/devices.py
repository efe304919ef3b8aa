"""seatrial devices: the physical devices of the inventory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Group
from .options import complete_devices, devices_file
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.condition.doctor import Finding
    from seatrial_runner.transport.hostkeys import HostKey
    from seatrial_targets.inventory import Device


@click.group(cls=Group)
def devices() -> None:
    """The physical devices of your inventory, devices.yaml."""


@devices.command("list")
@devices_file
@click.pass_obj
def list_(screen: Screen, devices_file: Path | None) -> None:
    """List the devices; `local`, this machine, is always among them."""
    from seatrial_targets.inventory import load

    found = sorted(load(devices_file).devices.values(), key=lambda device: device.name)
    screen.document([device.model_dump(mode="json", by_alias=True, exclude_none=True) for device in found])
    rows = [(d.name, d.target, d.transport, _where(d), ", ".join(d.tags), d.stamp) for d in found]
    screen.table(("device", "target", "transport", "address", "tags", "stamp"), rows)


@devices.command()
@click.argument("name", shell_complete=complete_devices)
@devices_file
@click.pass_obj
def check(screen: Screen, name: str, devices_file: Path | None) -> int:
    """Examine the device NAME: can it be reached, is it fit to be measured on, and what mends what is not.

    Ends with 0 when nothing is in the way of a trial, else with 3.
    """
    from seatrial_runner.condition.doctor import examine, worst
    from seatrial_runner.condition.facts import gather

    findings = examine(gather(_device(name, devices_file)))
    level = worst(findings)
    screen.document({"device": name, "worst": level, "findings": findings_json(findings)})
    say_findings(screen, findings)
    return 3 if level == "error" else 0


@devices.command()
@click.argument("name", shell_complete=complete_devices)
@click.option("--fingerprint", metavar="SHA256:...", help="Trust the key only if this is its fingerprint.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@devices_file
@click.pass_obj
def trust(screen: Screen, name: str, fingerprint: str | None, yes: bool, devices_file: Path | None) -> None:
    """Trust the SSH host key that the device NAME shows, from now on."""
    from seatrial_runner.transport.ssh import fetch_host_key
    from seatrial_runner.transport.ssh import trust as trust_key
    from seatrial_targets.errors import UserError

    device = _device(name, devices_file)
    if device.transport != "ssh":
        raise UserError(f"{name} is reached by {device.transport}, which knows no host keys; there is nothing to trust")
    key = fetch_host_key(device)
    _confirm(screen, key, name, fingerprint, yes)
    file = trust_key(device, key)
    screen.document({"device": name, "known_as": key.known_as, "fingerprint": key.fingerprint, "file": str(file)})
    screen.line(f"{name}: {key.known_as} {key.algorithm} {key.fingerprint} is trusted from now on ({file})")


@devices.command()
@click.argument("name", shell_complete=complete_devices)
@devices_file
@click.pass_obj
def clean(screen: Screen, name: str, devices_file: Path | None) -> None:
    """Remove what we keep on the device NAME: cached files, and what crashed runs left."""
    from seatrial_runner.condition.clean import clean as clean_device
    from seatrial_runner.transport import open_transport
    from seatrial_targets.units import format_size

    with open_transport(_device(name, devices_file)) as transport:
        freed = clean_device(transport)
        root = transport.root
    screen.document({"device": name, "root": root, "freed_bytes": freed})
    screen.line(f"{name}: {root} is empty; {format_size(freed)} were freed")


def findings_json(findings: tuple[Finding, ...]) -> list[dict[str, str]]:
    """Return findings as plain data."""
    from dataclasses import asdict

    return [asdict(finding) for finding in findings]


def say_findings(screen: Screen, findings: tuple[Finding, ...]) -> None:
    """Print findings as a table, then the commands that mend what is not well."""
    screen.table(("check", "", "found"), [(f.check, f.level, f.text) for f in findings])
    remedies = [f for f in findings if f.command and f.level != "ok"]
    if remedies:
        screen.line()
        screen.line("What helps:")
    for finding in remedies:
        screen.line(f"  {finding.check}: {finding.command}")


def _device(name: str, file: Path | None) -> Device:
    from seatrial_targets.inventory import load

    return load(file).get(name)


def _where(device: Any) -> str:
    if device.transport == "local":
        return "this machine"
    place = device.ssh_config_host or device.serial or device.address or ""
    return f"{device.user + '@' if device.user else ''}{place}{f':{device.port}' if device.port else ''}"


def _confirm(screen: Screen, key: HostKey, name: str, fingerprint: str | None, yes: bool) -> None:
    from seatrial_targets.errors import HostKeyError

    if fingerprint is not None:
        if fingerprint != key.fingerprint:
            raise HostKeyError(
                f"{name}: {key.known_as} shows {key.fingerprint}, not {fingerprint}: it is another machine, or"
                " somebody listens in; nothing is trusted"
            )
        return
    if not yes:
        screen.note(f"{key.known_as} shows {key.algorithm} {key.fingerprint}")
        screen.note("Compare it with what the device itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        click.confirm("Trust it?", abort=True, err=True)
