"""From a profile to Core ML's minimum deployment target, and what each system can't do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError
from seatrial_targets.profile import version_key

from ...verify.coreml.program import MACOS_OF_IOS

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


def ios_level(target: TargetProfile) -> int:
    """Return the iOS version (15, 16, 17, 18 or 26) whose Core ML the target's oldest system has.

    Raises ExportError for another system, without a version, or before ML programs.
    """
    device = target.device
    if device.os not in ("ios", "macos"):
        raise ExportError(f"target {target.name!r} runs Core ML on {device.os}; its device.os must be ios or macos")
    if not device.os_min:
        raise ExportError(f"target {target.name!r} has no device.os_min; it decides which Core ML the package is for")
    least = version_key(device.os_min)[0]
    known = [ios for ios, macos in MACOS_OF_IOS.items() if (ios if device.os == "ios" else macos) <= least]
    if not known:
        oldest = "iOS 15" if device.os == "ios" else "macOS 12"
        raise ExportError(
            f"target {target.name!r} begins at {device.os} {device.os_min}; ML programs need {oldest} or later"
        )
    return known[-1]


def system_name(target: TargetProfile, ios: int) -> str:
    """Return 'iOS 18' or, for a Mac, 'macOS 15': the system of the target whose Core ML is that of iOS ``ios``."""
    return f"iOS {ios}" if target.device.os == "ios" else f"macOS {MACOS_OF_IOS[ios]}"


def require(target: TargetProfile, ios: int, what: str) -> None:
    """Raise ExportError that names the system that would do, when the target is older than iOS ``ios``."""
    have = ios_level(target)
    if have < ios:
        raise ExportError(
            f"{what} needs {system_name(target, ios)} or later, but target {target.name!r} is for "
            f"{system_name(target, have)} and later; raise its device.os_min or choose another option"
        )


def deployment_target(target: TargetProfile, coremltools: Any) -> Any:
    """Return the member of coremltools.target for the profile."""
    return getattr(coremltools.target, f"iOS{ios_level(target)}")
