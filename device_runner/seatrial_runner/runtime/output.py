"""The agent's stdout, read without trust: it comes from another machine, over a link that may cut or mix streams."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError

from seatrial_targets.errors import AgentError

from ..records import AgentResult

MOST_BYTES = 64 << 20
_MOST_DEPTH = 8  # of brackets; a result has 6
_MOST_TEXT = 4096  # characters, as in `records.Text`
_SHOWN = 200  # bytes of foreign output in a message
# C0, DEL, C1 and the marks that reorder text on a terminal
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def parse_result(stdout: bytes, token: str) -> AgentResult:
    """Return the result in ``stdout``: exactly one JSON line, then the end marker with our ``token``.

    Strings come back without control characters, so that they can be printed. Raises AgentError for all else.
    """
    if len(stdout) > MOST_BYTES:
        raise AgentError(f"the agent printed {len(stdout)} bytes; a result has at most {MOST_BYTES}")
    return _validated(_object(_result_line(stdout, token)))


def _result_line(stdout: bytes, token: str) -> bytes:
    # adb shells of old turn line ends into CR LF.
    lines = stdout.replace(b"\r\n", b"\n").split(b"\n")
    if len(lines) < 2 or lines[-1] != b"" or lines[-2] != b"seatrial-end " + token.encode():
        raise AgentError(f"{_no_end(lines)}; it printed: {_shown(stdout)}")
    if len(lines) != 3:
        raise AgentError(f"the agent printed {len(lines) - 2} lines where one belongs: {_shown(stdout)}")
    return lines[0]


def _no_end(lines: list[bytes]) -> str:
    if any(line.startswith(b"seatrial-end ") for line in lines[:-1]):  # whole lines
        return "the agent's end marker is not the one of this run, so its output is stale or mixed"
    return "the agent ended before its result was whole (killed, out of memory, or the link was lost)"


def _object(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
        _require_shallow(text)
        data = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise AgentError(f"the agent's result is not JSON ({printable(str(error))}): {_shown(line)}") from error
    if not isinstance(data, dict):
        raise AgentError(f"the agent's result is no JSON object: {_shown(line)}")
    return {key: _neutral(value) for key, value in data.items()}


def _require_shallow(text: str) -> None:
    depth = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > _MOST_DEPTH:
            raise ValueError("nested too deeply")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is given twice")
    return made


def _neutral(value: Any) -> Any:
    if isinstance(value, str):
        # What is made visible grows; a text that was short enough must not become too long by it.
        return printable(value)[: max(len(value), _MOST_TEXT)]
    if isinstance(value, list):
        # The long lists are of plain numbers.
        return [_neutral(item) if isinstance(item, (str, list, dict)) else item for item in value]
    if isinstance(value, dict):
        return {printable(key): _neutral(item) for key, item in value.items()}
    return value


def printable(text: str) -> str:
    """Return ``text`` with control characters, terminal escapes and lone surrogates made visible as ``\\xNN``.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    visible = _UNSAFE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
    return visible.encode("utf-8", "backslashreplace").decode()


def _validated(data: dict[str, Any]) -> AgentResult:
    try:
        result = AgentResult.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise AgentError(f"the agent's result is not of the agreed form: {printable(where)}: {first['msg']}") from error
    _require_consistent(result)
    return result


def _require_consistent(result: AgentResult) -> None:
    if (result.status == "error") != (result.error is not None):
        raise AgentError("the agent's result contradicts itself: status and error do not agree")
    for name, arm in result.arms.items():
        if len(arm.wall_ns) != len(arm.cpu_ns):
            raise AgentError(f"the agent's result contradicts itself: arm {name} has unequal numbers of samples")
        if {len(part) for part in (arm.gpu_ns, arm.h2d_ns, arm.d2h_ns, arm.enqueue_ns)} - {0, len(arm.wall_ns)}:
            raise AgentError(f"the agent's result contradicts itself: arm {name} lacks parts of some samples")
        if result.status == "ok" and not all(check.ok for check in arm.checks):
            raise AgentError(f"the agent's result contradicts itself: arm {name} failed its check, yet status is ok")


def _shown(raw: bytes) -> str:
    text = raw[:_SHOWN].decode("utf-8", "replace") if raw else ""
    return repr(printable(text)) + ("..." if len(raw) > _SHOWN else "") if raw else "nothing"
