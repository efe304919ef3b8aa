"""The facts of a real device: this machine, through the local transport."""

from __future__ import annotations

import os
import platform
import stat
import time
from pathlib import Path

import pytest

from seatrial_runner import lease as leases
from seatrial_runner.condition.clean import clean
from seatrial_runner.condition.doctor import examine, worst
from seatrial_runner.condition.facts import gather
from seatrial_runner.transport import open_transport
from seatrial_targets.errors import LeaseHeldError
from seatrial_targets.inventory import Device, Inventory


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Inventory().get("local").model_copy(update={"root": str(tmp_path / "device root")})


def test_this_machine_is_examined(device: Device) -> None:
    facts = gather(device)
    assert facts.problem == ""
    assert facts.state is not None
    assert facts.state.machine == platform.machine()
    assert facts.state.cpu_count == len(os.sched_getaffinity(0))
    assert facts.root == device.root
    assert facts.agent == "native"
    assert (facts.holder, facts.library_problem) == ("", "")
    assert {"reachable", "processor", "disk", "runtime library", "agent"} <= {f.check for f in examine(facts)}


def test_who_measures_is_seen_and_our_token_is_not_told(device: Device) -> None:
    with open_transport(device) as transport:
        lease = leases.take(transport)
        facts = gather(device)
        leases.give_back(transport, lease)
    assert facts.holder == leases.holder()
    assert 0 < facts.holder_seconds <= leases.LEASE_SECONDS
    assert lease.token not in repr(facts)
    assert "not looked at" in facts.library
    assert gather(device).holder == ""


def test_an_expired_lease_is_nobody(device: Device) -> None:
    root = Path(str(device.root))
    root.mkdir()
    (root / "lease").write_text(f"token {int(time.time()) - 5} eve\n")
    assert gather(device).holder == ""


def test_a_lease_file_that_makes_no_sense_is_nobody(device: Device) -> None:
    root = Path(str(device.root))
    root.mkdir()
    (root / "lease").write_bytes(b"\xff\x00\x1b[31m not a lease")
    assert gather(device).holder == ""


def test_a_library_that_the_device_lacks_is_said(device: Device) -> None:
    facts = gather(device.model_copy(update={"library": "/nonexistent/libonnxruntime.so"}))
    assert "/nonexistent/libonnxruntime.so" in facts.library_problem
    assert worst(examine(facts)) == "error"


def test_what_can_not_be_used_is_a_fact_not_an_exception(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    facts = gather(device.model_copy(update={"root": str(tmp_path / "file" / "root")}))
    assert facts.problem
    assert [finding.level for finding in examine(facts)] == ["error"]


def test_cleaning_removes_what_is_ours_and_nothing_else(device: Device) -> None:
    root = Path(str(device.root))
    for folder in ("blobs", "runs/old"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file").write_bytes(bytes(100_000))
    (root / "somebody's").write_text("keep")
    with open_transport(device) as transport:
        freed = clean(transport)
    assert freed >= 100_000
    assert sorted(path.name for path in root.iterdir()) == ["somebody's"]
    assert stat.S_ISDIR(root.stat().st_mode)


def test_cleaning_waits_for_who_measures(device: Device) -> None:
    with open_transport(device) as transport:
        lease = leases.take(transport)
        blob = Path(str(device.root)) / "blobs" / "x"
        blob.parent.mkdir(exist_ok=True)
        blob.write_text("in use")
        with pytest.raises(LeaseHeldError):
            clean(transport)
        leases.give_back(transport, lease)
    assert blob.read_text() == "in use"
