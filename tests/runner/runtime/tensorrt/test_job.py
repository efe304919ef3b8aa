"""What a job on the device sends back, read without trust."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner import lease as leases
from seatrial_runner.runtime.tensorrt.job import WATCHED, Answer, Place, command, parse_answer
from seatrial_runner.transport import open_transport
from seatrial_targets.errors import AgentError
from seatrial_targets.inventory import Device

TOKEN = "feedbeef"
END = b"seatrial-end feedbeef\n"


def file(name: str, data: bytes) -> bytes:
    return f"seatrial-file {TOKEN} {name} {len(data)}\n".encode() + data + b"\n"


def test_values_and_files() -> None:
    found = parse_answer(
        b"seatrial-value feedbeef state two words\n" + file("a.json", b"x\nseatrial-end\n") + END, TOKEN
    )
    assert found == Answer({"state": "two words"}, {"a.json": b"x\nseatrial-end\n"})


@given(st.dictionaries(st.sampled_from(["a", "b.json", "c"]), st.binary(max_size=50)))
def test_files_hold_any_bytes(files: dict[str, bytes]) -> None:
    raw = b"".join(file(name, data) for name, data in files.items())
    assert parse_answer(raw + END, TOKEN).files == files


BAD = {
    "nothing": b"",
    "no end": file("a", b"x"),
    "cut in a file": file("a", b"xxxx")[:-3],
    "a size that lies": b"seatrial-file feedbeef a 3\nx\n" + END,
    "no size": b"seatrial-file feedbeef a many\nx\n" + END,
    "another run's": b"seatrial-value deadbeef a 1\n" + END,
    "something before": b"hello\n" + END,
    "something after": END + b"hello\n",
    "a huge size": b"seatrial-file feedbeef a 999999999999\nx\n" + END,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_output(name: str) -> None:
    with pytest.raises(AgentError):
        parse_answer(BAD[name], TOKEN)


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    for text in (raw, raw + END, file("a", raw) + raw + END):
        with contextlib.suppress(AgentError):
            parse_answer(text, TOKEN)


@pytest.mark.parametrize("text", ["", "-1", "1e9", "many", "1.0000000001"])
def test_numbers_that_are_none(text: str) -> None:
    answer = Answer({"begin": text, "end": "5", "before_kib": text, "least_kib": "1", "code": text})
    assert answer.seconds is None
    assert answer.peak_delta is None
    assert answer.code == -1


def test_a_job_on_a_device(jetson: Device) -> None:
    """A program that takes 60 MB for a while: its exit code, its log, its time, and what the machine's memory lost."""
    program = [
        "python3",
        "-c",
        "import time; x = bytearray(60_000_000); print('done'); time.sleep(.3); raise SystemExit(7)",
    ]
    with open_transport(jetson) as transport:
        place = Place(transport, leases.take(transport))
        answer = place.run(WATCHED % command(program, "log.txt") + "log log log.txt", TOKEN, 60)
    assert answer.code == 7
    assert answer.files["log"] == b"done\n"
    assert answer.seconds is not None
    assert answer.seconds >= 0.3
    assert answer.peak_delta is not None
    assert answer.number("oom_kills") is not None


def test_a_job_that_dies_says_how(jetson: Device) -> None:
    with open_transport(jetson) as transport:
        place = Place(transport, leases.take(transport))
        with pytest.raises(AgentError, match="SIGKILL"):
            place.run("kill -9 $$", TOKEN, 60)
