"""The tree of exceptions. Each message says what happened, where, and what to do next.

SeatrialError
├── UserError                 exit 2   the command, a file or a model is wrong
│   ├── ConfigError                    one or more located problems in a YAML file
│   ├── UnknownNameError               no such target, device, ...: did you mean
│   ├── BundleError                    truncated, tampered or foreign bundle
│   ├── ModelError                     the model source can't be loaded or run
│   ├── ExportError                    the model can't be exported for the target
│   └── EvaluationError                an exported package does not do what it declares
│       └── UnsupportedOpError         it holds an operation that can't be executed here
├── HarnessError              exit 3   Seatrial's own side failed (disk, missing tool)
├── DeviceError               exit 3   the device or the way to it failed
│   ├── UnreachableError               no connection could be made
│   │   ├── HostKeyError               unknown or changed host key
│   │   └── AuthenticationError        the device refused us
│   ├── LinkLostError                  the connection died while it was used
│   ├── DiskFullError                  no space left on the device
│   ├── LeaseHeldError                 another runner is measuring on this device
│   ├── UnfitStateError                too hot, throttled, too busy for a run to count
│   └── AgentError                     the agent died or printed what it should not
├── DeadlineError             exit 3   it took longer than allowed
└── CancelledError            exit 130 the user said stop
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

Status = Literal["ok", "user_error", "harness_error", "device_error", "timeout", "cancelled"]


class SeatrialError(Exception):
    """Base of every error that Seatrial raises on purpose."""

    exit_code: ClassVar[int] = 3
    status: ClassVar[Status] = "harness_error"


class UserError(SeatrialError):
    """The command, a file or a model that the user gave is wrong."""

    exit_code = 2
    status = "user_error"


class ConfigError(UserError):
    """A configuration file is wrong; ``problems`` holds every `file:line:column: key: text`, in file order."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnknownNameError(UserError):
    """No such name among those known; the message suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        near = did_you_mean(name, self.known)
        super().__init__(f"unknown {kind} {name!r}{near}{hint and (' ' if near else '; ') + hint}")


class BundleError(UserError):
    """A bundle is truncated, tampered with, of a foreign format, or not a bundle."""


class ModelError(UserError):
    """A model source can't be loaded, or the model does not run on its own example inputs."""


class ExportError(UserError):
    """A model can't be exported for the chosen target."""


class EvaluationError(UserError):
    """An exported package does not do what it declares: a wrong shape, type or index."""


class UnsupportedOpError(EvaluationError):
    """A package holds an operation that can't be executed on this machine, so that nothing is known of its outputs."""


class HarnessError(SeatrialError):
    """Seatrial's own side failed: local disk, a missing program, a broken installation."""


class DeviceError(SeatrialError):
    """The device, or the way to it, failed."""

    status = "device_error"


class UnreachableError(DeviceError):
    """No connection to the device could be made."""


class HostKeyError(UnreachableError):
    """The device's host key is unknown or has changed."""


class AuthenticationError(UnreachableError):
    """The device refused our credentials."""


class LinkLostError(DeviceError):
    """The connection died while it was in use."""


class DiskFullError(DeviceError):
    """No space is left on the device."""


class LeaseHeldError(DeviceError):
    """Another runner holds the device."""


class UnfitStateError(DeviceError):
    """The device is too hot, throttled, too busy or too empty for a run to count, and stayed so."""


class AgentError(DeviceError):
    """The agent on the device died, or printed something that is not a result."""


class DeadlineError(SeatrialError):
    """It took longer than its deadline allowed."""

    status = "timeout"


class CancelledError(SeatrialError):
    """The user stopped it."""

    exit_code = 130
    status = "cancelled"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
