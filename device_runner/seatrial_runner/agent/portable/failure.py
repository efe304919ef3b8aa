"""The one exception of the agent."""

from __future__ import annotations

from typing import NoReturn


class AgentFailureError(Exception):
    """The run can't go on; ``kind`` says whose fault it is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def fail(kind: str, message: str) -> NoReturn:
    raise AgentFailureError(kind, message)


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
