"""A session with a device, kept in a file and replayed: same results, and nothing personal in it."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import open_transport
from seatrial_runner.transport.base import Transport
from seatrial_runner.transport.transcript import Masks, Replay, read_transcript, recording
from seatrial_targets.errors import HarnessError, UserError
from seatrial_targets.inventory import Device


def soon() -> Deadline:
    """Counted from the call: from the import on, a long session of tests would outlast it."""
    return Deadline.after(600)


def talk(transport: Transport, source: Path, target: Path) -> list[object]:
    """Say several things, with a token that is new each time, and return what was heard."""
    import secrets

    token = secrets.token_hex(16)
    heard: list[object] = [transport.run(["sh", "-c", 'echo "$1"; exit 3', "x", token], deadline=soon()).returncode]
    heard.append(
        transport.run(["cat"], stdin=b"end " + token.encode(), deadline=soon()).stdout == b"end " + token.encode()
    )
    heard.append(transport.run(["head", "-c", "3", "/dev/zero"], deadline=soon()).stdout)
    heard.append(transport.run(["printf", "\\377"], deadline=soon()).stdout)
    done = transport.run(["cat"], stdin=token.encode() + b"\n\377\n", files=[source], deadline=soon())
    heard.append(done.stdout.removeprefix(token.encode()))
    heard.append(transport.push(source, f"{transport.root}/there", deadline=soon()))
    heard.append(transport.pull(f"{transport.root}/there", target, deadline=soon()))
    heard.append(target.read_bytes())
    heard.append(transport.missing({"ab" * 32: (1, 0o600)}, deadline=soon()))
    heard.append(len(transport.run(["cat", "/proc/sys/kernel/random/boot_id"], deadline=soon()).stdout))
    return heard


@pytest.fixture
def conversation(here: Device, tmp_path: Path) -> tuple[Path, list[object]]:
    (tmp_path / "source").write_bytes(b"content")
    file = tmp_path / "transcript.jsonl"
    with recording(file), open_transport(here) as transport:
        heard = talk(transport, tmp_path / "source", tmp_path / "target")
    return file, heard


def test_the_same_is_heard_again(conversation: tuple[Path, list[object]], tmp_path: Path) -> None:
    file, heard = conversation
    assert talk(Replay(file), tmp_path / "source", tmp_path / "again") == heard
    assert heard[0] == 3
    assert heard[1] is True
    assert heard[4] == b"\n\377\ncontent"


def test_nothing_personal_is_kept(conversation: tuple[Path, list[object]], here: Device) -> None:
    text = conversation[0].read_text()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for secret in (boot, str(here.root), socket.gethostname(), getpass.getuser() + "@"):
        assert secret not in text
    assert not re.search(r"(?<![\w.])(?=\w*[a-f])[0-9a-f]{32}(?!\w)", text)


def test_another_call_than_was_recorded_is_an_error(conversation: tuple[Path, list[object]]) -> None:
    replay = Replay(conversation[0])
    with pytest.raises(HarnessError, match=r"entry 1: the call is .*'other'"):
        replay.run(["other"], deadline=soon())
    replay = Replay(conversation[0])
    with pytest.raises(HarnessError, match="the call is a push, recorded was run"):
        replay.push(Path(__file__), "x", deadline=soon())


def test_the_text_of_our_own_scripts_may_change(conversation: tuple[Path, list[object]]) -> None:
    done = Replay(conversation[0]).run(
        ["sh", "-c", "printf %s $1 # newer", "x", "0123456789abcdef" * 2], deadline=soon()
    )
    assert (done.returncode, done.stdout) == (3, b"0123456789abcdef0123456789abcdef\n")


def test_more_than_was_recorded(conversation: tuple[Path, list[object]], tmp_path: Path) -> None:
    replay = Replay(conversation[0])
    talk(replay, tmp_path / "source", tmp_path / "again")
    with pytest.raises(HarnessError, match="recorded was nothing more"):
        replay.run(["true"], deadline=soon())


@pytest.mark.parametrize(
    "text", ["", "{}\n", "nonsense", '{"schema": "seatrial.trial/1"}\n', '{"schema": "seatrial.transcript/1"}\n3\n']
)
def test_files_that_are_no_transcript(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(UserError, match="no transcript"):
        read_transcript(tmp_path / "t")


def test_without_recording_nothing_is_written(here: Device, tmp_path: Path) -> None:
    with recording(None), open_transport(here) as transport:
        transport.run(["true"], deadline=soon())
    assert list(tmp_path.glob("*.jsonl")) == []


def test_numbers_are_no_tokens() -> None:
    text = json.dumps({"rel_l2": 1.2345678901234567e-05, "t_ns": 1795698196267718415, "x": [0.1234567890123456789]})
    assert Masks("/root").mask(text) == text
    assert Masks("/root").hide(text) == text


HEX = st.integers(0, 2**128 - 1).map(lambda number: f"a{number:031x}")


@given(st.lists(HEX, min_size=1, max_size=4), HEX)
def test_what_is_hidden_can_be_filled_in_elsewhere(words: list[str], foreign: str) -> None:
    """Other tokens in the same places of the same calls: answers that repeat one repeat the other."""
    masks, again = Masks("/root/a"), Masks("/root/b")
    said, heard = masks.mask(" ".join(words)), masks.hide(f"/root/a/x {words[-1]} {foreign}")
    others = [f"c{words.index(word):031x}" for word in words]
    assert again.mask(" ".join(others)) == said
    assert foreign in words or foreign not in heard
    assert again.fill(heard).startswith(f"/root/b/x {others[-1]} ")
