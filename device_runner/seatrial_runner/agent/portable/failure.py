"""The one exception of the agent."""

from __future__ import annotations

from typing import NoReturn


class AgentFailureError(Exception):
    """The run can't go on; ``kind`` says whose fault it is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def fail(kind: str, message: str) -> NoReturn:
    """Raise AgentFailureError: ``kind`` is device_error, user_error or harness_error."""
    raise AgentFailureError(kind, message)


def text(raw: bytes) -> str:
    """Return bytes of unknown origin as text that can always be printed."""
    return raw.decode("utf-8", "replace")
