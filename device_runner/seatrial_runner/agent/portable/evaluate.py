"""Mode evaluate: other inputs than the golden ones, from raw files and to raw files; the host judges what comes out."""

from __future__ import annotations

import array
import os
import time
from typing import Any

from .failure import fail, text
from .job import Arm, Job, Tensor
from .runtime import Runtime
from .stdout import Stdout


def evaluate(job: Job, runtime: Runtime, out: Stdout) -> None:
    """Run every sample of the job's arm; its ``wall_ns`` gets one entry for each."""
    arm = job.arms[b"a"]
    feeds = [open_feed(path, tensor, job.samples) for path, tensor in zip(arm.feeds, arm.inputs)]
    fetches = [open_fetch(path) for path in arm.fetches]
    arm.wall_ns, arm.cpu_ns = array.array("q", bytes(8 * job.samples)), array.array("q", bytes(8 * job.samples))
    for _ in range(job.samples):
        for feed, tensor in zip(feeds, arm.inputs):
            fill(tensor, feed)
        one_sample(arm, runtime, fetches)
        out.watch()
    for path, fetch in zip(arm.fetches, fetches):
        written(path, fetch.close)


def one_sample(arm: Arm, runtime: Runtime, fetches: list[Any]) -> None:
    """Run one sample; note its wall time in ns and write its outputs."""
    begin = time.monotonic_ns()
    runtime.infer(arm)
    arm.wall_ns[arm.samples] = time.monotonic_ns() - begin
    arm.samples += 1
    for index, fetch in enumerate(fetches):
        written(arm.fetches[index], fetch.write, runtime.output(arm, index))
    runtime.drop(arm)


def fill(tensor: Tensor, feed: Any) -> None:
    """The inputs keep their place in memory: the runtime has them by address."""
    data = feed.read(tensor.count * tensor.size)
    if tensor.data is not None and len(data) == len(tensor.data):
        tensor.data[:] = data


def open_feed(path: bytes, tensor: Tensor, samples: int) -> Any:
    """Open a file of raw samples; fail with device_error when its length is not that of ``samples`` of them."""
    wanted = tensor.count * tensor.size * samples
    try:
        feed = open(path, "rb")  # noqa: SIM115 - read sample by sample
        length = os.fstat(feed.fileno()).st_size
    except OSError as error:
        fail("device_error", f"{text(path)}: {error.strerror}")
    if length != wanted:
        fail("device_error", f"{text(path)}: holds {length} bytes where {wanted} belong; it was cut or changed")
    return feed


def open_fetch(path: bytes) -> Any:
    """Open a new file for raw outputs that its owner alone can read."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")
    except OSError as error:
        fail("device_error", f"{text(path)}: {error.strerror}")


def written(path: bytes, write: Any, *data: bytes) -> None:
    """Call ``write``; what the device's file system refuses is a device_error that names ``path``."""
    try:
        write(*data)
    except OSError as error:
        fail("device_error", f"{text(path)}: {error.strerror}")
