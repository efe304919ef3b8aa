"""A chunk of an evaluation: samples with the job, outputs with the result, and nothing used that is not whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner import lease as leases
from seatrial_runner.job import ArmJob, Job, TensorFile
from seatrial_runner.plan import Plan
from seatrial_runner.run import RunRequest
from seatrial_runner.runtime import ort_evaluate
from seatrial_runner.runtime.ort_evaluate import Chunk
from seatrial_runner.transport import Transport, open_transport
from seatrial_targets.errors import DeviceError, HarnessError, LeaseHeldError
from seatrial_targets.inventory import Device

TOKEN = "f" * 32
ARM = ArmJob(
    model="m",
    inputs=(TensorFile("a", "uint8", (2,), "g"), TensorFile("b", "float32", (1, 2), "g")),
    outputs=(TensorFile("y", "float32", (1, 2), "g", 0.1), TensorFile("z", "uint8", (2,), "g", 0.1)),
)
# Stands for the agent: its outputs are its inputs, the other way round. What it prints shows that it got its job.
SWAP = ["sh", "-c", 'cp x1 y0; cp x0 y1; head -n 1 "$1"; tail -n 1 "$1"', "agent"]
A, B = bytes(range(6)), b"\r\nseatrial-end " + bytes(9)  # 3 samples of 2 and of 8 bytes


@pytest.fixture
def transport(here: Device) -> Iterator[Transport]:
    with open_transport(here) as opened:
        yield opened


@pytest.fixture
def chunk(tmp_path: Path) -> Chunk:
    (tmp_path / "a").write_bytes(A)
    (tmp_path / "b").write_bytes(B)
    feeds = {"a": tmp_path / "a", "b": tmp_path / "b"}
    fetches = {"y": tmp_path / "y", "z": tmp_path / "z"}
    request = RunRequest("evaluate", {"a": "candidate"}, Plan(), feeds=feeds, fetches=fetches, samples=3, token=TOKEN)
    return Chunk(request, ARM)


def run(chunk: Chunk, transport: Transport, *agent: str) -> tuple[bytes, tuple[bytes, ...]]:
    lease = leases.take(transport)
    done, outputs = chunk.run(transport, lease, agent or SWAP, Job(TOKEN, "evaluate", arms={"a": ARM}))
    assert not list(Path(transport.root, "runs").iterdir())
    leases.give_back(transport, lease)
    return done.stdout, outputs


def test_every_input_and_output_finds_its_place(chunk: Chunk, transport: Transport, tmp_path: Path) -> None:
    printed, outputs = run(chunk, transport)
    assert printed == b"seatrial-job 2\nend\n"
    chunk.keep(outputs, "here")
    assert ((tmp_path / "y").read_bytes(), (tmp_path / "z").read_bytes()) == (B, A)


def test_samples_that_did_not_arrive_whole_are_not_used(
    chunk: Chunk, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort_evaluate, "_sha256", lambda text, files: "0" * 64)
    with pytest.raises(DeviceError, match="sha256 differs"):
        run(chunk, transport, "sh", "-c", f"touch '{tmp_path}/used'")
    assert not (tmp_path / "used").exists()


def test_an_agent_that_fails_brings_no_outputs(chunk: Chunk, transport: Transport) -> None:
    assert run(chunk, transport, "sh", "-c", "cp x1 y0; cp x0 y1; echo ended; exit 3") == (b"ended\n", ())


@pytest.mark.parametrize("agent", ["cp x1 y0; echo", "cp x1 y0; cp x1 y1; echo", ": > y0; cat x0 x1 > y1; echo"])
def test_an_output_of_another_size_is_refused(chunk: Chunk, transport: Transport, tmp_path: Path, agent: str) -> None:
    _, outputs = run(chunk, transport, "sh", "-c", agent)
    with pytest.raises(HarnessError, match=r"bytes where \[24, 6\] belong"):
        chunk.keep(outputs, "here")
    assert not (tmp_path / "y").exists()


def test_nothing_runs_when_the_lease_was_lost(chunk: Chunk, transport: Transport, tmp_path: Path) -> None:
    job = Job(TOKEN, "evaluate", arms={"a": ARM})
    with pytest.raises(LeaseHeldError):
        chunk.run(transport, leases.Lease("stale"), ["sh", "-c", f"touch '{tmp_path}/used'"], job)
    assert not (tmp_path / "used").exists()


def test_feeds_for_other_inputs_are_named(chunk: Chunk) -> None:
    with pytest.raises(HarnessError, match="feeds for a, b, but the model's inputs are b"):
        Chunk(chunk.request, ArmJob("m", ARM.inputs[1:], ARM.outputs))


@given(st.binary(max_size=60), st.lists(st.binary(max_size=20) | st.integers().map(lambda n: b"%d" % n), max_size=4))
def test_whatever_a_device_prints_is_read_to_an_end(data: bytes, sizes: list[bytes]) -> None:
    request = RunRequest("evaluate", {"a": "candidate"}, Plan(), feeds=dict.fromkeys("ab", Path()), token=TOKEN,
                         fetches=dict.fromkeys("yz", Path()), samples=3)  # fmt: skip
    told = b"x\nseatrial-outputs %s %s\n" % (TOKEN.encode(), b" ".join(sizes))
    _, outputs = Chunk(request, ARM)._told_apart(told + data)
    assert data.startswith(b"".join(outputs)) or b"\n" in b"".join(sizes)
