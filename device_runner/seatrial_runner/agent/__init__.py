"""The device agents: a native one per machine, built from `native/`, and a stdlib-only Python one as fallback, from
`portable/`.

Both take the job text of `seatrial_runner.job` and print the result of `seatrial_runner.records.AgentResult`.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
# What `uname -m` calls machines that run the binary of another name.
_ALIASES = {"arm64": "aarch64", "armv8l": "armv7l", "amd64": "x86_64"}


def native_agent(machine: str) -> Path | None:
    """Return the native agent for ``machine`` (as ``uname -m`` tells it), or None where there is none.

    >>> native_agent("x86_64").name
    'agent-x86_64'
    >>> native_agent("riscv64") is None
    True
    """
    path = _HERE / "bin" / f"agent-{_ALIASES.get(machine.lower(), machine.lower())}"
    return path if path.is_file() else None


def python_agent() -> Path:
    """Return the agent in Python (3.8 or newer, standard library only): one file, run as ``python3 FILE JOB``."""
    return _HERE / "bin" / "agent.pyz"
