"""Walk a human through what a phone needs once: the steps that are done, the next one with what to do, the rest."""

from __future__ import annotations

from seatrial_targets.inventory import Device

from ...apple import APP_ID, SOURCES
from ...condition.finding import Finding
from ...deadline import Deadline
from ...printable import printable
from ...transport.base import Transport
from .links import STEPS
from .phone import link_of
from .phone_state import ANSWER_SECONDS

SECONDS = 300.0
PROJECT = SOURCES / "App" / "SeatrialRunner.xcodeproj"

# Step -> what it is when it is done, and what a human does to get there.
WORDS = {
    "program": ("{link} is installed where the phone is plugged in", "{install}"),
    "plugged": ("the phone is there", "plug it in by USB; its UDID goes into devices.yaml as `serial:`"),
    "trusted": ("it is unlocked and trusts this computer", "unlock it, tap Trust, enter the passcode"),
    "developer": (
        "Developer Mode is on",
        "on the phone: Settings, Privacy & Security, Developer Mode; it restarts, then asks once more",
    ),
    "app": (
        "the app Seatrial Runner is installed",
        f"on a Mac: open {PROJECT} in Xcode, choose your team under Signing, choose the phone, press Run",
    ),
}


def walk(device: Device, transport: Transport) -> tuple[Finding, ...]:
    """Return a finding for each step that a phone needs once; steps after the first undone one wait for it."""
    link = link_of(device)
    argv = ["sh", "-c", link.functions + STEPS, "seatrial", str(device.serial), APP_ID, str(ANSWER_SECONDS)]
    done = transport.run(argv, deadline=Deadline.after(SECONDS), max_output=1 << 16)
    lines = [printable(line).partition(" ") for line in done.stdout.splitlines()]
    made = {step: result for step, _, result in lines}
    findings, open_step = [], ""
    for step, (is_so, to_do) in WORDS.items():
        if made.get(step) == "ok":
            findings.append(Finding(step, "ok", is_so.format(link=link.name)))
        elif open_step:
            findings.append(Finding(step, "note", f"not looked at before {open_step!r} is done"))
        else:
            open_step = step
            said = printable(done.stderr[-300:])
            text = f"not yet: {is_so.format(link=link.name)}" + (f" ({said})" if said else "")
            findings.append(Finding(step, "error", text, to_do.format(install=link.install)))
    return tuple(findings)
