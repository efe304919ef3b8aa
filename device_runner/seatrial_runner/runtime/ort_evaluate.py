"""A run of mode evaluate: samples go to the device as raw files, outputs come back so, and nothing stays there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from seatrial_targets.errors import HarnessError, SeatrialError

from .. import lease as leases
from ..deadline import Deadline
from ..job import ArmJob, Job, TensorFile
from ..pusher import SLOW_LINK_BYTES_PER_S, UP
from ..run import EVALUATE_FOLDER, RunRequest
from ..transport.base import Transport

ITEM_BYTES = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4}
ITEM_BYTES |= {"float16": 2, "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1}


def bytes_of(tensor: TensorFile) -> int:
    """Return the bytes of one sample of a tensor."""
    size = ITEM_BYTES[tensor.dtype]
    for dimension in tensor.shape:
        size *= dimension
    return size


@contextmanager
def sent(transport: Transport, lease: leases.Lease, request: RunRequest, arm: ArmJob) -> Iterator[ArmJob]:
    """Bring the request's feeds to the device and yield the arm that reads them; take everything away afterwards.

    On leaving without an error the outputs are brought into the request's ``fetches``. The lease is held for as long as
    a slow link needs. Raises HarnessError when the feeds are not the model's inputs, and what the transport raises.
    """
    _require(request.feeds, arm.inputs, "feeds", "inputs")
    _require(request.fetches, arm.outputs, "fetches", "outputs")
    folder = posixpath.join(transport.root, EVALUATE_FOLDER, request.token)
    deadline = Deadline.after(_seconds(request, arm))
    leases.renew(transport, lease, int(deadline.left()) + leases.LEASE_SECONDS)
    try:
        for index, tensor in enumerate(arm.inputs):
            transport.push(request.feeds[tensor.name], f"{folder}/x{index}", deadline=deadline)
        here = f"{UP}{EVALUATE_FOLDER}/{request.token}"
        feeds = tuple(f"{here}/x{index}" for index in range(len(arm.inputs)))
        yield replace(arm, feeds=feeds, fetches=tuple(f"{here}/y{index}" for index in range(len(arm.outputs))))
        for index, tensor in enumerate(arm.outputs):
            size = bytes_of(tensor) * request.samples
            _fetch(transport, f"{folder}/y{index}", request.fetches[tensor.name], size, deadline)
    finally:
        _remove(transport, folder)


def evaluate_job(job: Job, arm: ArmJob, samples: int) -> Job:
    """Return ``job`` as one of mode evaluate."""
    return replace(job, mode="evaluate", arms={"a": arm}, samples=samples)


def _fetch(transport: Transport, remote: str, target: Path, size: int, deadline: Deadline) -> None:
    if transport.pull(remote, target, deadline=deadline, max_bytes=size) != size:
        raise HarnessError(f"{transport.name}: an output file has {target.stat().st_size} bytes where {size} belong")


def _remove(transport: Transport, folder: str) -> None:
    argv = ["sh", "-c", 'rm -rf "$1"; rmdir "${1%/*}" 2>/dev/null; exit 0', "seatrial", folder]
    try:
        transport.run(argv, deadline=Deadline.after(leases.ROUND_TRIP_SECONDS))
    except SeatrialError:
        return  # the link is lost: the next session's sweep takes it away


def _seconds(request: RunRequest, arm: ArmJob) -> float:
    moved = request.samples * sum(bytes_of(tensor) for tensor in (*arm.inputs, *arm.outputs))
    return request.seconds + 2 * leases.ROUND_TRIP_SECONDS + moved / SLOW_LINK_BYTES_PER_S


def _require(files: Mapping[str, Path], tensors: tuple[TensorFile, ...], what: str, of: str) -> None:
    wanted = {tensor.name for tensor in tensors}
    if set(files) != wanted:
        raise HarnessError(f"evaluation: {what} for {', '.join(files)}, but the model's {of} are {', '.join(wanted)}")
