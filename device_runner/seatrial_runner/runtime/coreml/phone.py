"""An iPhone or iPad: the app on it makes each run, a program on the machine that it hangs on carries job and result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from seatrial_targets.errors import AgentError, DeviceError, HarnessError, LinkLostError, UserError
from seatrial_targets.inventory import Device

from ...apple import APP_ID
from ...deadline import Deadline
from ...lease import Lease
from ...plan import Event
from ...printable import printable
from ...pusher import UP
from ...records import AgentResult, Build, BundleName, Evicted, RunKind
from ...run import RunRequest, run_in_folder
from ...transport.base import Completed, Transport
from .. import output
from ..base import Ground
from . import contract
from .folders import lay_out
from .links import DEVICECTL, PYMOBILEDEVICE3, RUN, SEND, Link

SEND_SECONDS = 1800.0
GRACE_SECONDS = 60  # for the program itself, which takes seconds to start each time
INSTALL_APP = "install the app once: docs/devices/iphone.md, or open SeatrialRunner.xcodeproj in Xcode and run it"

# What the programs say, and what the human in front of the phone can do about it.
REMEDIES: Mapping[tuple[str, ...], str] = {
    ("password protected", "passwordprotected", "device is locked", "was locked"): (
        "the phone is locked: unlock it, and let it stay so (Settings, Display, Auto-Lock: Never)"
    ),
    ("pairingdialogresponsepending", "not paired", "trust this computer", "userdeniedpairing"): (
        "the phone does not trust this computer: unlock it and tap Trust"
    ),
    (
        "no app with bundle id",
        "applicationlookupfailed",
        "not installed",
    ): f"the app is not on the phone: {INSTALL_APP}",
    ("developer mode", "invalidservice", "developerdiskimage", "developer disk image"): (
        "Developer Mode is off, or the phone was not prepared for development: Settings, Privacy & Security, Developer"
        " Mode; then connect it once to Xcode, or run `pymobiledevice3 mounter auto-mount`"
    ),
    ("no devices found", "device not found", "was not found", "no device matching", "disconnected"): (
        "the phone is not there: is it plugged in, and its serial in devices.yaml right?"
    ),
}


@dataclass
class PhoneRunner:
    """The app on a phone, with the bundles of a session."""

    device: Device
    transport: Transport
    lease: Lease
    link: Link
    tunnel: str
    arms: dict[BundleName, dict[str, Any]] = field(default_factory=dict)

    def execute(self, request: RunRequest) -> AgentResult:
        """Start the app anew for one run. See `Equipped.execute`."""
        job = contract.render(request, self.arms, placement=request.kind == "solo")
        seconds = int(request.seconds)
        words = [str(self.device.serial), APP_ID, self.tunnel, str(seconds), request.token]
        argv = ["sh", "-c", self.link.functions + RUN, "seatrial", *words]
        done = run_in_folder(self.transport, self.lease, argv, job, seconds + GRACE_SECONDS, ends=request.ends)
        if not done.ok:
            explain(self.device, self.link, done)
        try:
            return contract.judged(output.parse_result(done.stdout, request.token))
        except AgentError as error:
            raise AgentError(f"{self.device.name}: {error}") from error

    def lacks(self, kind: RunKind) -> str:
        """Return why there are no runs of ``kind``, or an empty string."""
        return contract.lacks(kind)

    def settings(self) -> dict[str, str]:
        """Return which runner runs, and by which program it is reached."""
        return {"agent": "apple", "link": self.link.name}

    def stamp(self) -> str:
        """Return an empty string: what is no phone says so in its results, and is refused then."""
        return ""

    def builds(self) -> dict[BundleName, Build]:
        """Return nothing: compiling a package is part of each run, and timed there."""
        return {}

    def evict(self, bundle: BundleName) -> Evicted | None:
        """Return None: nothing of ours there can ask the kernel for it."""
        return None

    def close(self) -> None:
        """Do nothing: what was sent stays in the app's folder."""


def link_of(device: Device) -> Link:
    """Return the program for a device. Raises UserError when the inventory does not say which phone it is."""
    if not device.serial:
        raise UserError(
            f"{device.name}: which phone? Put its UDID in devices.yaml as `serial:`"
            " (`pymobiledevice3 usbmux list`, or `xcrun devicectl list devices`)"
        )
    return PYMOBILEDEVICE3 if device.transport == "usbmux" else DEVICECTL


def equip(ground: Ground) -> PhoneRunner:
    """Bring the bundles to the phone. Raises DeviceErrors, each with what to do on the phone; BundleError."""
    link = link_of(ground.device)
    major = int(ground.state.os.removeprefix("iOS ").split(".")[0] or 0) if ground.state.os.startswith("iOS ") else 0
    # From iOS 17 on developer services are behind a tunnel, which the program can carry in its own process.
    tunnel = "--userspace" if link is PYMOBILEDEVICE3 and major >= 17 else ""
    runner = PhoneRunner(ground.device, ground.transport, ground.lease, link, tunnel)
    for name, bundle in ground.bundles.items():
        folder = lay_out(ground.transport, bundle, ground.pusher).removeprefix(UP)
        ground.pusher.on_event(Event(f"sending {bundle.manifest.name} to the phone"))
        ground.pusher.hold(SEND_SECONDS)
        words = [str(ground.device.serial), APP_ID, ground.transport.root, bundle.digest]
        argv = ["sh", "-c", link.functions + SEND, "seatrial", *words]
        done = ground.transport.run(argv, deadline=Deadline.after(SEND_SECONDS))
        if not done.ok:
            explain(ground.device, link, done)
        runner.arms[name] = contract.arm(bundle.manifest, ground.profiles[name], f"{folder}/{{}}".format)
    return runner


def explain(device: Device, link: Link, done: Completed) -> NoReturn:
    """Raise the DeviceError that tells what went wrong with the phone, and what to do there."""
    if done.returncode == 80 or done.returncode == 127:
        raise HarnessError(f"{device.name}: {link.name} is not on the machine that the phone hangs on: {link.install}")
    said = printable(done.stderr[-1500:], 1500)
    low = said.lower()
    remedy = next((words for signs, words in REMEDIES.items() if any(sign in low for sign in signs)), "")
    if done.returncode == 84 or "the phone is not there" in remedy:
        raise LinkLostError(f"{device.name}: {remedy or 'the phone is gone'} ({link.name}: {said[-300:] or 'silent'})")
    if done.returncode == 83:
        raise AgentError(
            f"{device.name}: the app left no result: is the phone unlocked, and the app in front? Did it crash"
            f" (too little memory, a model that the Neural Engine refuses)? ({link.name}: {said[-200:] or 'silent'})"
        )
    raise DeviceError(
        f"{device.name}: {remedy or f'{link.name} failed ({done.returncode})'}: {said[-300:] or 'silent'}"
    )
