"""A run of mode evaluate: samples go to the device with the job, outputs come back with the result, in one round trip.

Both are in the run's own folder there, and go with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import DeviceError, HarnessError

from .. import lease as leases
from ..job import ArmJob, Job, TensorFile
from ..pusher import SLOW_LINK_BYTES_PER_S
from ..run import RunRequest, run_in_folder
from ..transport.base import Completed, Transport
from ..transport.remote import Input
from ..transport.shell import SHA256

ITEM_BYTES = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4}
ITEM_BYTES |= {"float16": 2, "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1}
MOST_PRINTED = 64 << 20
CORRUPT = 78

# The file that is named last holds the job and the samples. It is hashed before anything of it is used, then cut into
# pieces (NAME:FIRST:SIZE, first byte 1). By seeking in a file, since not every `head` leaves the rest of a pipe alone.
# After the agent's own words come the sizes of the outputs, and the outputs.
SCRIPT = (
    SHA256
    + r"""digest=$1 pieces=$2 outputs=$3 token=$4; shift 4
for job; do :; done
[ "$(sum256 "$job")" = "$digest" ] || exit 78
mv "$job" whole || exit 77
for piece in $pieces; do
  name=${piece%%:*}; piece=${piece#*:}
  tail -c "+${piece%:*}" whole | head -c "${piece#*:}" > "$name" || exit 77
done
rm -f whole
"$@" || exit
printf 'seatrial-outputs %s' "$token"
for y in $outputs; do printf ' %s' $(wc -c < "$y"); done
echo
exec cat $outputs
"""
)


def bytes_of(tensor: TensorFile) -> int:
    """Return the bytes of one sample of a tensor."""
    size = ITEM_BYTES[tensor.dtype]
    for dimension in tensor.shape:
        size *= dimension
    return size


@dataclass(frozen=True)
class Chunk:
    """Some samples of an evaluation and the model that they are for.

    Raises HarnessError when the request's feeds and fetches are not the model's inputs and outputs.
    """

    request: RunRequest
    arm: ArmJob

    def __post_init__(self) -> None:
        _require(self.request.feeds, self.arm.inputs, "feeds", "inputs")
        _require(self.request.fetches, self.arm.outputs, "fetches", "outputs")

    def run(
        self, transport: Transport, lease: leases.Lease, agent: Sequence[str], job: Job
    ) -> tuple[Completed, tuple[bytes, ...]]:
        """Run the samples by ``agent``; ``job`` is one of mode evaluate. Return what it printed, and the outputs' data.

        Raises DeviceError when what arrived there was not what was sent, and what the transport raises.
        """
        text, files = self._job(job), [self.request.feeds[tensor.name] for tensor in self.arm.inputs]
        pieces = _pieces(len(text), files)
        words = [_sha256(text, files), " ".join(pieces), " ".join(self._names()), self.request.token]
        argv = ["sh", "-c", SCRIPT, "seatrial", *words, *agent]
        most = MOST_PRINTED + sum(self._sizes())
        done = run_in_folder(transport, lease, argv, text, self._seconds(), files=files, max_output=most)
        if done.returncode == CORRUPT and not done.stdout:
            raise DeviceError(
                f"{transport.name}: the samples that arrived are not those that were sent (sha256 differs); if the"
                " files did not change meanwhile, test the device's storage"
            )
        printed, outputs = self._told_apart(done.stdout)
        return replace(done, stdout=printed), outputs

    def keep(self, outputs: tuple[bytes, ...], device: str) -> None:
        """Write the outputs where the request wants them. Raises HarnessError when one is not as long as it must be."""
        found, wanted = [len(data) for data in outputs], self._sizes()
        if found != wanted:
            raise HarnessError(f"{device}: the outputs have {found} bytes where {wanted} belong")
        for tensor, data in zip(self.arm.outputs, outputs, strict=True):
            write_atomic(self.request.fetches[tensor.name], data)

    def _job(self, job: Job) -> bytes:
        feeds = tuple(f"x{index}" for index in range(len(self.arm.inputs)))
        arm = replace(self.arm, feeds=feeds, fetches=tuple(self._names()))
        return replace(job, mode="evaluate", arms={"a": arm}, samples=self.request.samples).render().encode()

    def _names(self) -> list[str]:
        return [f"y{index}" for index in range(len(self.arm.outputs))]

    def _sizes(self) -> list[int]:
        return [bytes_of(tensor) * self.request.samples for tensor in self.arm.outputs]

    def _seconds(self) -> float:
        moved = self.request.samples * sum(bytes_of(tensor) for tensor in (*self.arm.inputs, *self.arm.outputs))
        return self.request.seconds + leases.ROUND_TRIP_SECONDS + moved / SLOW_LINK_BYTES_PER_S

    def _told_apart(self, stdout: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        """Return what the agent printed, and the outputs as far as they have the sizes that the device tells."""
        printed, mark, rest = stdout.partition(b"\nseatrial-outputs " + self.request.token.encode())
        if not mark:
            return stdout, ()
        line, _, data = rest.partition(b"\n")
        sizes, outputs = [int(word) for word in line.split() if re.fullmatch(rb"\d{1,15}", word)], []
        for size in sizes:
            outputs.append(data[:size])
            data = data[size:]
        return printed + b"\n", (*outputs, *([data] if data else []))


def _pieces(job_bytes: int, files: Sequence[Path]) -> list[str]:
    """Return where in the whole the job and each input are, for `SCRIPT`."""
    pieces, at = [f"job:1:{job_bytes}"], 1 + job_bytes
    for index, path in enumerate(files):
        size = path.stat().st_size
        pieces.append(f"x{index}:{at}:{size}")
        at += size
    return pieces


def _sha256(text: bytes, files: Sequence[Path]) -> str:
    whole = hashlib.sha256(text)
    for data in Input(files=files).chunks():
        whole.update(data)
    return whole.hexdigest()


def _require(files: Mapping[str, Path], tensors: tuple[TensorFile, ...], what: str, of: str) -> None:
    wanted = {tensor.name for tensor in tensors}
    if set(files) != wanted:
        raise HarnessError(f"evaluation: {what} for {', '.join(files)}, but the model's {of} are {', '.join(wanted)}")
