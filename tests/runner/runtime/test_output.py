"""What an agent prints is untrusted: a result, or an AgentError, and never anything else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.runtime.output import MOST_BYTES, parse_result, printable
from seatrial_targets.errors import AgentError

TOKEN = "feedbeef"
END = f"seatrial-end {TOKEN}\n".encode()
CHECK = {"name": "y", "rel_l2": 0, "max_abs": 0, "nonfinite": 0, "argmax_equal": True, "tolerance": 1, "ok": True}
ARM = {"session_ns": 1, "first_ns": 2, "warmup_iterations": 3, "checks": [CHECK], "wall_ns": [5, 6], "cpu_ns": [7, 8]}
GOOD: dict[str, Any] = {"agent": "native", "agent_version": "1", "status": "ok", "arms": {"a": ARM}}


def printed(data: Any) -> bytes:
    return json.dumps(data).encode() + b"\n" + END


def test_a_good_result() -> None:
    result = parse_result(printed(GOOD), TOKEN)
    assert result.arms["a"].wall_ns == (5, 6)


def test_line_ends_of_old_shells() -> None:
    assert parse_result(printed(GOOD).replace(b"\n", b"\r\n"), TOKEN).status == "ok"


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_numbers_that_json_lacks(text: str) -> None:
    check = {**CHECK, "rel_l2": text, "ok": False}
    error = {"stage": "check", "kind": "device_error", "message": "wrong"}
    data = {**GOOD, "status": "error", "error": error, "arms": {"a": {**ARM, "checks": [check]}}}
    found = parse_result(printed(data), TOKEN).arms["a"].checks[0].rel_l2
    assert str(found) == {"NaN": "nan", "Infinity": "inf"}[text]


BAD = {
    "nothing": (b"", "whole .*nothing"),
    "no end marker": (printed(GOOD)[: -len(END)], "ended before its result was whole"),
    "cut within the marker": (printed(GOOD)[:-3], "ended before its result was whole"),
    "another run's marker": (printed(GOOD).replace(b"feedbeef", b"deadbeef"), "stale or mixed"),
    "two results": (printed(GOOD)[: -len(END)] + printed(GOOD), "lines where one belongs"),
    "something before": (b"Welcome to your board!\n" + printed(GOOD), "lines where one belongs"),
    "something after": (printed(GOOD) + b"bye\n", "stale or mixed|whole"),
    "no result": (END, "0 lines"),
    "not JSON": (b"{oops\n" + END, "not JSON"),
    "a list": (printed([GOOD]), "no JSON object"),
    "not UTF-8": (b'{"agent": "\xff"}\n' + END, "not JSON"),
    "too deep": (b'{"a":' * 10_000 + b"\n" + END, "nested too deeply"),
    "a key twice": (b'{"agent": 1, "agent": 2}\n' + END, "given twice"),
    "a huge number": (b'{"threads": ' + b"9" * 10_000 + b"}\n" + END, "not JSON"),
    "unknown key": (printed({**GOOD, "colour": "red"}), "colour"),
    "negative time": (printed({**GOOD, "dlopen_ns": -1}), "dlopen_ns"),
    "text too long": (printed({**GOOD, "kernel": "x" * 5000}), "kernel"),
    "an arm c": (printed({**GOOD, "arms": {"c": ARM}}), "arms"),
    "error without a reason": (printed({**GOOD, "status": "error"}), "contradicts itself"),
    "unequal samples": (printed({**GOOD, "arms": {"a": {**ARM, "cpu_ns": []}}}), "contradicts itself"),
    "parts of fewer samples": (printed({**GOOD, "arms": {"a": {**ARM, "gpu_ns": [5]}}}), "lacks parts"),
    "failed check that is ok": (
        printed({**GOOD, "arms": {"a": {**ARM, "checks": [{**CHECK, "ok": False}]}}}),
        "contradicts itself",
    ),
    "too much": (b" " * (MOST_BYTES + 1), "at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_output(name: str) -> None:
    stdout, message = BAD[name]
    with pytest.raises(AgentError, match=message) as caught:
        parse_result(stdout, TOKEN)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


def test_terminal_escapes_are_made_visible() -> None:
    assert (
        parse_result(printed({**GOOD, "kernel": "\x1b]0;owned\x07\u202e"}), TOKEN).kernel == "\\x1b]0;owned\\x07\\x202e"
    )


def test_a_text_of_escapes_only_is_cut_not_refused() -> None:
    assert len(parse_result(printed({**GOOD, "kernel": "\x1b" * 4000}), TOKEN).kernel) == 4096


@given(st.text())
def test_printable_leaves_nothing_to_obey(text: str) -> None:
    safe = printable(text)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in safe)
    safe.encode()


@given(st.binary())
def test_arbitrary_bytes(stdout: bytes) -> None:
    for text in (stdout, stdout + b"\n" + END):
        with pytest.raises(AgentError):
            parse_result(text, TOKEN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, *ARM, *CHECK]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "error", "memory", "energy", "threads", "kernel"]), JSON))
def test_arbitrary_json(change: dict[str, Any]) -> None:
    with contextlib.suppress(AgentError):
        parse_result(printed({**GOOD, **change}), TOKEN)


@given(st.integers(0, len(printed(GOOD)) - 1), st.integers(0, 255))
def test_one_changed_byte(position: int, byte: int) -> None:
    stdout = bytearray(printed(GOOD))
    stdout[position] = byte
    with contextlib.suppress(AgentError):
        parse_result(bytes(stdout), TOKEN)
