"""The end marker in a stream that arrives in any pieces, exit codes, what is shown of a device's words."""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import open_transport, shell
from seatrial_targets.errors import DeadlineError
from seatrial_targets.inventory import Device

TOKEN = "0123456789abcdef" * 2


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def marked(chunks: list[bytes]) -> tuple[bytes, int | None, bytes]:
    got: list[bytes] = []
    stream = shell.MarkedStream(TOKEN, got.append)
    for chunk in chunks:
        stream.feed(chunk)
    return b"".join(got), stream.code, stream.rest()


@given(st.binary(max_size=200), st.integers(0, 255), st.lists(st.integers(0, 300), max_size=8))
def test_all_bytes_before_the_marker_and_its_code(data: bytes, code: int, cuts: list[int]) -> None:
    assert marked(pieces(data + f"{TOKEN}:{code}:".encode(), cuts)) == (data, code, b"")


@given(st.integers(0, 34), st.lists(st.integers(0, 300), max_size=8))
def test_a_marker_that_is_cut_short_is_none(length: int, cuts: list[int]) -> None:
    cut = f"{TOKEN}:0:".encode()[:length]
    got, code, rest = marked(pieces(b"data" + cut, cuts))
    assert code is None
    assert got + rest == b"data" + cut


@given(st.lists(st.sampled_from([TOKEN[:9].encode(), TOKEN.encode(), b":", b"0:", b"x"]), max_size=12))
def test_look_alikes_are_passed_on_or_end_the_stream(parts: list[bytes]) -> None:
    data = b"".join(parts)
    got, code, rest = marked([data, f"{TOKEN}:7:".encode()])
    assert code is not None
    assert (data + f"{TOKEN}:7:".encode()).startswith(got + rest)


def test_what_comes_after_the_marker_is_dropped() -> None:
    assert marked([f"a{TOKEN}:0:".encode(), b"later"]) == (b"a", 0, b"")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=5))
def test_arguments_survive_two_shells(words: list[str]) -> None:
    line = shell.command('printf "%s\\0" "$@"', *words)
    out = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout
    assert out == b"".join(word.encode() + b"\0" for word in words) or (not words and out == b"\0")


@pytest.mark.parametrize(("status", "code"), [(0, 0), (127, 127), (128, 128), (137, -9), (139, -11), (255, 255)])
def test_exit_codes(status: int, code: int) -> None:
    assert shell.exit_code(status) == code


def test_a_devices_words_can_not_move_the_cursor() -> None:
    said = shell.last_words(b"\x1b]0;title\x07 \x1b[2J\r\nlast\xff\xfe line\x00\xc2\x9b31m")
    assert said.isprintable()
    assert "last" in said


def test_long_words_are_cut() -> None:
    assert len(shell.last_words(b"x" * 10_000)) == 400
    assert len(shell.quoted(["x" * 10_000])) == 80


def test_the_scripts_are_posix() -> None:
    for script in (shell.RUN, shell.STORE, shell.PROBE, shell.CHECK, shell.READ, shell.ROOT):
        subprocess.run(["dash", "-n", "-c", script], check=True)
        assert shlex.split(shell.command(script))[-2:] == [script, "seatrial"]


ESSENTIAL = ["sh", "cat", "head", "wc", "mkdir", "mv", "rm", "chmod", "dirname", "sleep", "dd", "rm", "ls", "true"]


@pytest.mark.parametrize("tools", [["sha256sum"], ["openssl"]])
def test_a_device_with_few_tools(
    tools: list[str], tmp_path: Path, here: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in [*ESSENTIAL, *tools]:
        if not (folder / tool).exists():
            (folder / tool).symlink_to(str(shutil.which(tool)))
    source = tmp_path / "file"
    source.write_bytes(b"x" * 100_000)
    monkeypatch.setenv("PATH", str(folder))
    with open_transport(here) as transport:
        assert transport.push(source, f"{transport.root}/file", deadline=Deadline.after(60)) == 100_000
        assert transport.run(["sh", "-c", "cat; exit 4"], stdin=b"in", deadline=Deadline.after(60)).stdout == b"in"
        with pytest.raises(DeadlineError):  # without `timeout` and `setsid` too
            transport.run(["sleep", f"3999.{os.getpid()}"], deadline=Deadline.after(1))
    monkeypatch.undo()
    lines = subprocess.run(["ps", "axwwo", "stat,args"], capture_output=True, text=True, check=True).stdout
    assert f"sleep 3999.{os.getpid()}" not in lines


def test_a_part_that_was_renamed_before_we_locked_it_is_not_written_to(tmp_path: Path) -> None:
    part, final, shims = tmp_path / "part", tmp_path / "final", tmp_path / "shims"
    shims.mkdir()
    part.write_bytes(b"good")
    # Stands for the other push, which ends between our open and our lock.
    (shims / "flock").write_text(f'#!/bin/sh\n[ ! -e "{part}" ] || mv "{part}" "{final}"\n')
    (shims / "flock").chmod(0o755)
    digest = hashlib.sha256(b"ours!").hexdigest()
    argv = ["sh", "-c", shell.STORE, "seatrial", "t", "10", str(part), str(final), "0", "5", digest, "600"]
    path = f"{shims}:{os.environ['PATH']}"
    done = subprocess.run(argv, input=b"ours!", capture_output=True, env={**os.environ, "PATH": path}, check=True)
    assert done.stdout.endswith(f"t:{shell.BUSY}:".encode())
    assert final.read_bytes() == b"good"
