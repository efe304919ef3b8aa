"""What every transport promises, tried on this machine, a native sshd, and arm64 devices behind sshd and adbd."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport, push_all, push_cached
from seatrial_runner.transport.remote import CHUNK_BYTES
from seatrial_targets.errors import DeadlineError, DeviceError, HarnessError
from seatrial_targets.inventory import Device

Running = Callable[[list[str]], bool]
Until = Callable[[Callable[[], bool]], None]
WORDS = ["a b", "'", '"', "x\ny", "é漢", "-n", "--", "$HOME", "`id`", "*", "", "\\", "\t", "\x1b[31m", "a=b", "!!"]
EVERY_BYTE = bytes(range(256))


def soon() -> Deadline:
    return Deadline.after(120)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_words_arrive_as_they_are(transport: Transport) -> None:
    done = transport.run(["printf", "%s\\0", *WORDS], deadline=soon())
    assert done.stdout == b"".join(word.encode() + b"\0" for word in WORDS)


def test_streams_are_separate_and_binary_clean(transport: Transport) -> None:
    both = "head -c 256; cat >&2; exit 3"
    done = transport.run(["sh", "-c", both], stdin=EVERY_BYTE + EVERY_BYTE[::-1], deadline=soon())
    assert (done.returncode, done.stdout, done.stderr) == (3, EVERY_BYTE, EVERY_BYTE[::-1])


def test_large_input_and_output_at_once(transport: Transport) -> None:
    data = os.urandom(2_000_000)
    assert transport.run(["cat"], stdin=data, deadline=soon()).stdout == data


def test_input_that_is_not_read_does_no_harm(transport: Transport) -> None:
    done = transport.run(["sh", "-c", "exec <&-; sleep .5; echo done"], stdin=b"x\n" * 500_000, deadline=soon())
    assert done.stdout == b"done\n"


def test_nothing_on_stdin_is_the_end_of_it(transport: Transport) -> None:
    assert transport.run(["cat"], deadline=soon()).stdout == b""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_signal_is_negative(transport: Transport, number: int) -> None:
    done = transport.run(["sh", "-c", f"echo before; kill -{int(number)} $$"], deadline=soon())
    assert (done.returncode, done.stdout) == (-number, b"before\n")


def test_unknown_program(transport: Transport) -> None:
    assert transport.run(["no-such-program"], deadline=soon()).returncode == 127


def test_a_nul_in_a_word_is_refused(transport: Transport) -> None:
    with pytest.raises(HarnessError, match="NUL"):
        transport.run(["echo", "a\0b"], deadline=soon())


def test_output_that_looks_like_an_end_marker(transport: Transport) -> None:
    fake = f"{'0' * 32}:0:"
    assert transport.run(["printf", "%s", fake], deadline=soon()).stdout == fake.encode()


def test_deadline_ends_the_program_and_its_children(
    transport: Transport, nap: list[str], running: Running, until: Until
) -> None:
    with pytest.raises(DeadlineError):
        transport.run(["sh", "-c", f"{' '.join(nap)} & wait"], deadline=Deadline.after(2))
    until(lambda: not running(nap))
    assert transport.run(["echo", "again"], deadline=soon()).stdout == b"again\n"


def test_a_child_that_outlives_its_parent_is_ended(
    transport: Transport, nap: list[str], running: Running, until: Until
) -> None:
    assert transport.run(["sh", "-c", f"{' '.join(nap)} & echo started"], deadline=soon()).stdout == b"started\n"
    until(lambda: not running(nap))  # SIGKILL was sent before the end marker; dying takes a moment


def test_endless_output_is_stopped(transport: Transport, running: Running, until: Until) -> None:
    word = f"hostile{os.getpid()}"
    with pytest.raises(DeviceError, match="more than 1000000 bytes"):
        transport.run(["yes", word], deadline=soon(), max_output=1_000_000)
    until(lambda: not running(["yes", word]))


def test_ctrl_c_leaves_nothing_running(transport: Transport, nap: list[str], running: Running, until: Until) -> None:
    def interrupt() -> None:
        until(lambda: running(nap))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        transport.run(nap, deadline=soon())
    thread.join()
    until(lambda: not running(nap))


def test_a_killed_harness_leaves_nothing_running(
    device: Device, nap: list[str], running: Running, until: Until
) -> None:
    program = (
        "import sys; from seatrial_targets.inventory import Device;"
        "from seatrial_runner.transport import open_transport; from seatrial_runner.deadline import Deadline;"
        "open_transport(Device.model_validate_json(sys.argv[1])).run(sys.argv[2:], deadline=Deadline.after(3000))"
    )
    harness = subprocess.Popen([sys.executable, "-c", program, device.model_dump_json(by_alias=True), *nap])
    until(lambda: running(nap))
    harness.kill()
    harness.wait()
    until(lambda: not running(nap))


def test_push_and_pull(transport: Transport, source: Path, tmp_path: Path) -> None:
    remote = f"{transport.root}/sub folder/it's é"
    steps: list[tuple[int, int]] = []
    sent = transport.push(source, remote, deadline=soon(), progress=lambda *step: steps.append(step))
    assert (sent, steps[-1]) == (3_000_000, (3_000_000, 3_000_000))
    assert transport.pull(remote, tmp_path / "back", deadline=soon()) == 3_000_000
    assert sha256(tmp_path / "back") == sha256(source)
    listed = transport.run(["ls", "-A", f"{transport.root}/sub folder"], deadline=soon()).stdout.decode()
    assert listed.splitlines() == ["it's é"]


def test_push_of_a_program(transport: Transport, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho it runs\n")
    remote = f"{transport.root}/program"
    transport.push(program, remote, deadline=soon(), executable=True)
    assert transport.run([remote], deadline=soon()).stdout == b"it runs\n"


def test_push_of_an_empty_file(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert transport.push(tmp_path / "empty", f"{transport.root}/empty", deadline=soon()) == 0
    assert transport.pull(f"{transport.root}/empty", tmp_path / "back", deadline=soon()) == 0


def test_a_broken_push_is_resumed(transport: Transport, source: Path, tmp_path: Path) -> None:
    remote = f"{transport.root}/file"
    _leave_part(transport, source.read_bytes()[:1_000_000], remote, source, tmp_path)
    assert transport.push(source, remote, deadline=soon()) == 2_000_000
    transport.pull(remote, tmp_path / "back", deadline=soon())
    assert sha256(tmp_path / "back") == sha256(source)


def test_a_broken_push_with_other_bytes_is_not_resumed(transport: Transport, source: Path, tmp_path: Path) -> None:
    remote = f"{transport.root}/file"
    _leave_part(transport, b"?" * 1_000_000, remote, source, tmp_path)
    assert transport.push(source, remote, deadline=soon()) == 3_000_000


def _leave_part(transport: Transport, data: bytes, remote: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(data)
    transport.push(tmp_path / "part", f"{remote}.{sha256(source)[:16]}.part", deadline=soon())


def test_a_push_that_arrives_wrong_gets_no_name(transport: Transport, source: Path) -> None:
    with pytest.raises(DeviceError, match="sha256"):
        transport.push(source, f"{transport.root}/file", deadline=soon(), sha256="0" * 64)
    assert transport.run(["ls", "-A", transport.root], deadline=soon()).stdout == b""


def test_push_onto_a_folder_is_refused(transport: Transport, source: Path) -> None:
    with pytest.raises(DeviceError, match="folder"):
        transport.push(source, transport.root, deadline=soon())


def test_pull_of_what_is_not_there(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no such file"):
        transport.pull(f"{transport.root}/nothing", tmp_path / "back", deadline=soon())
    with pytest.raises(DeviceError, match="no such file"):
        transport.pull(transport.root, tmp_path / "back", deadline=soon())
    assert list(tmp_path.glob("*back*")) == []


def test_pull_is_bounded(transport: Transport, source: Path, tmp_path: Path) -> None:
    transport.push(source, f"{transport.root}/file", deadline=soon())
    with pytest.raises(DeviceError, match="more than 1000 bytes"):
        transport.pull(f"{transport.root}/file", tmp_path / "back", deadline=soon(), max_bytes=1000)
    assert list(tmp_path.glob("*back*")) == []


def test_a_second_push_sends_nothing(transport: Transport, device: Device, source: Path) -> None:
    remote, sent = push_cached(transport, source, sha256(source), soon())
    assert (remote, sent) == (f"{transport.root}/blobs/{sha256(source)}", 3_000_000)
    assert push_cached(transport, source, sha256(source), soon()) == (remote, 0)
    with open_transport(device) as other:
        assert push_cached(other, source, sha256(source), soon()) == (remote, 0)


def test_a_damaged_blob_is_sent_again(transport: Transport, device: Device, source: Path) -> None:
    remote, _ = push_cached(transport, source, sha256(source), soon())
    damage = 'printf X | dd of="$0" bs=1 seek=1000 conv=notrunc 2>/dev/null'
    assert transport.run(["sh", "-c", damage, remote], deadline=soon()).ok
    with open_transport(device) as other:
        assert push_cached(other, source, sha256(source), soon()) == (remote, 3_000_000)


def test_many_files_in_one_question(transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {}
    for size in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1):
        path = tmp_path / str(size)
        path.write_bytes(b"x" * size)
        files[path] = sha256(path)
    remote, sent = push_all(transport, files, soon(), executables=frozenset({tmp_path / "1"}))
    assert sent == 2 * CHUNK_BYTES + 2
    questions: list[object] = []
    asked = transport.run
    monkeypatch.setattr(transport, "run", lambda *a, **k: questions.append(a) or asked(*a, **k))
    assert push_all(transport, files, soon()) == (remote, 0)
    assert len(questions) == 1


def test_the_root_is_ours_alone(transport: Transport) -> None:
    assert transport.run(["ls", "-ld", transport.root], deadline=soon()).stdout.startswith(b"drwx------")


def test_push_of_what_is_not_there(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="absent: can't be read"):
        transport.push(tmp_path / "absent", f"{transport.root}/file", deadline=soon())


def test_two_pushes_of_the_same_file_at_once(device: Device, transport: Transport, source: Path) -> None:
    remote, errors = f"{transport.root}/file", list[BaseException]()

    def push() -> None:
        try:
            with open_transport(device) as other:
                other.push(source, remote, deadline=soon())
        except BaseException as error:  # a thread's exception has to be carried out of it
            errors.append(error)

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    listed = transport.run(["ls", "-A", transport.root], deadline=soon()).stdout
    assert set(listed.split()) - {b"blobs", b"engines", b"timing"} == {b"file"}  # without the caches of other tests


def test_a_root_that_everybody_can_write_to_is_refused(transport: Transport, device: Device) -> None:
    shared = f"{transport.root}/shared"
    assert transport.run(["mkdir", "-m", "777", shared], deadline=soon()).ok
    with pytest.raises(DeviceError, match="everybody can write there"):
        open_transport(device.model_copy(update={"root": shared}))


def test_many_small_files_go_in_a_few_round_trips(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is empty, some programs, names and contents of all kinds; none that was sent is sent again."""
    files = {}
    for number in range(60):
        path = tmp_path / f"file {number}"
        path.write_bytes(os.urandom(number * 500) if number % 7 else b"600 end\n" * number)
        files[path] = sha256(path)
    programs = frozenset(path for path in files if path.name.endswith("1"))
    calls: list[object] = []
    real = transport._exchange  # type: ignore[attr-defined]
    monkeypatch.setattr(transport, "_exchange", lambda *a, **k: calls.append(a) or real(*a, **k))
    remote, sent = push_all(transport, files, soon(), executables=programs)
    assert sent == sum(path.stat().st_size for path in {sha: path for path, sha in files.items()}.values())
    assert len(calls) == 2
    for path in (tmp_path / "file 0", tmp_path / "file 21", tmp_path / "file 59"):
        back = tmp_path / "back"
        transport.pull(remote[path], back, deadline=soon())
        assert back.read_bytes() == path.read_bytes()
    modes = transport.run(
        ["sh", "-c", 'stat -c %a "$@"', "sh", *(remote[p] for p in files)], deadline=soon()
    ).stdout.split()
    assert modes == [b"700" if path in programs else b"600" for path in files]
    assert push_all(transport, files, soon(), executables=programs) == (remote, 0)
    left = transport.run(["sh", "-c", f"ls {transport.root}/blobs | grep part"], deadline=soon()).stdout
    assert left == b""


def test_a_file_that_changes_while_it_is_sent_is_not_stored(transport: Transport, tmp_path: Path) -> None:
    files = {tmp_path / name: name for name in ("a", "b")}
    for path in files:
        path.write_bytes(b"content")
    wrong = {path: hashlib.sha256(f"other {name}".encode()).hexdigest() for path, name in files.items()}
    with pytest.raises(DeviceError, match="sha256 differs"):
        push_all(transport, wrong, soon())


def test_the_push_after_asking_looks_for_a_part_only_where_there_is_one(
    transport: Transport, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broken push left is resumed, and a device that has just said that there is nothing is not asked again."""
    data = source.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    blob, probed = f"{transport.root}/blobs/{sha}", list[str]()
    probe = transport._resumable
    monkeypatch.setattr(transport, "_resumable", lambda *words: probed.append(words[1]) or probe(*words))
    assert push_all(transport, {source: sha}, soon())[1] == len(data)
    assert probed == []
    half = ["sh", "-c", 'head -c 2000000 "$1" > "$1.$2.part" && rm "$1"', "sh", blob, sha[:16]]
    assert transport.run(half, deadline=soon()).ok
    assert push_all(transport, {source: sha}, soon())[1] == len(data) - 2_000_000
    assert probed == [f"{blob}.{sha[:16]}.part"]
    assert transport.run(["cat", blob], deadline=soon()).stdout == data
