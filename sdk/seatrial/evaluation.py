"""On-device accuracy: the user's own metric, computed here from what the device answered.

`evaluate` of a model source is called twice. The first time torch answers, and every input is written down; that gives
torch's metrics, too. Then the device runs all of these inputs, in chunks. The second time the device's answers are
given back, in the same order. An `evaluate` that asks for other inputs the second time can't be served, and is told so.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ModelError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seatrial_runner.manifest import Manifest, TensorEntry
    from seatrial_runner.records import BundleName
    from seatrial_runner.trial import TrialRunner

    from .source import ModelSource

CHUNK_BYTES = 32 << 20  # of inputs and outputs together: what a small board holds, and a slow link brings, in a while
MOST_SAMPLES = 100_000
Arrays = dict[str, "NDArray[Any]"]


@dataclass
class Spool:
    """The evaluation on disk: per tensor one file, the samples one after the other, as the artifact takes them."""

    manifest: Manifest
    folder: Path
    digests: list[bytes] = field(default_factory=list)
    spec: Any = None  # of the tree that the module returns

    def add(self, inputs: Arrays, outputs: Arrays) -> None:
        """Append one sample and torch's answer to it."""
        if len(self.digests) == MOST_SAMPLES:
            raise ModelError(f"evaluate asks for more than {MOST_SAMPLES} samples; let it take fewer")
        for entry in self.manifest.inputs:
            self._append(f"in-{entry.name}", _fitted(inputs, entry, "input"))
        for entry in self.manifest.outputs:
            self._append(f"torch-{entry.name}", _fitted(outputs, entry, "output"))
        self.digests.append(self.digest(inputs))

    def digest(self, inputs: Arrays) -> bytes:
        """Return what tells one sample from another."""
        whole = hashlib.sha256()
        for entry in self.manifest.inputs:
            whole.update(_fitted(inputs, entry, "input").tobytes())
        return whole.digest()

    def file(self, kind: str, name: str) -> Path:
        """Return the file of a tensor: kind "in", "torch" or "device"."""
        return self.folder / hashlib.sha256(f"{kind}-{name}".encode()).hexdigest()[:32]

    def sample(self, kind: str, entry: TensorEntry, index: int) -> NDArray[Any]:
        """Return one sample of a tensor."""
        count = int(np.prod(entry.golden_shape, dtype=np.int64))
        dtype = np.dtype(entry.dtype)
        data = np.fromfile(self.file(kind, entry.name), dtype, count, offset=index * count * dtype.itemsize)
        return data.reshape(entry.golden_shape)

    def chunks(self, most_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, int]]:
        """Yield (first sample, number of samples) of each chunk."""
        each = sum(_bytes(entry) for entry in (*self.manifest.inputs, *self.manifest.outputs))
        step = max(1, most_bytes // max(1, each))
        for first in range(0, len(self.digests), step):
            yield first, min(step, len(self.digests) - first)

    def _append(self, name: str, value: NDArray[Any]) -> None:
        kind, _, tensor = name.partition("-")
        with self.file(kind, tensor).open("ab") as file:
            file.write(value.tobytes())


def evaluate_on_device(runner: TrialRunner, name: BundleName, manifest: Manifest, source: ModelSource) -> None:
    """Let the device compute the accuracy and the parity of a bundle; the trial keeps both instead of the stated ones.

    Raises UserError for a source without ``evaluate`` or a runtime that can't, ModelError when evaluate fails or is not
    the same the second time, and what runs on the device raise.
    """
    if source.evaluate is None:
        raise UserError("the model source has no evaluate(predict) whose metrics could be computed; add one")
    lacks = runner.session.lacks("evaluate")
    if lacks:
        raise UserError(f"{runner.trial.device.name}: no evaluation on the device: {lacks}")
    with tempfile.TemporaryDirectory(prefix="seatrial-evaluate-") as folder:
        spool = Spool(manifest, Path(folder))
        reference = _recorded(source, spool)
        for first, count in spool.chunks():
            _run_chunk(runner, name, spool, first, count)
        accuracy = _replayed(source, spool)
        both = {**accuracy, **{f"{key}_torch": value for key, value in reference.items()}}
        runner.evaluated(name, both, _parity(spool), len(spool.digests))


def _recorded(source: ModelSource, spool: Spool) -> dict[str, float]:
    from .exporters.accuracy import evaluated_with

    original = source.original()

    def answer(inputs: Mapping[str, Any]) -> Any:
        import torch

        value = original.call(inputs)
        leaves, spool.spec = torch.utils._pytree.tree_flatten(value)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        names = [entry.name for entry in spool.manifest.outputs]
        if len(tensors) != len(names):
            raise ModelError(f"the module returns {len(tensors)} tensors, the bundle has {len(names)} outputs")
        spool.add(_arrays(inputs), {name: each.detach().numpy() for name, each in zip(names, tensors, strict=True)})
        return value

    found = evaluated_with(source, answer)
    if not spool.digests:
        raise ModelError("evaluate did not call predict once; there is nothing to run on the device")
    return found


def _run_chunk(runner: TrialRunner, name: BundleName, spool: Spool, first: int, count: int) -> None:
    manifest = spool.manifest
    feeds = {entry.name: _slice(spool, entry, first, count) for entry in manifest.inputs}
    fetches = {entry.name: spool.folder / f"fetched-{index}" for index, entry in enumerate(manifest.outputs)}
    runner.evaluate(name, feeds, fetches, count, (first, len(spool.digests)))
    for entry in manifest.outputs:
        with spool.file("device", entry.name).open("ab") as whole, fetches[entry.name].open("rb") as part:
            shutil.copyfileobj(part, whole)
        fetches[entry.name].unlink()
    for path in feeds.values():
        path.unlink()


def _slice(spool: Spool, entry: TensorEntry, first: int, count: int) -> Path:
    """Copy a chunk out of a tensor's file: a push sends whole files."""
    size = _bytes(entry)
    part = spool.folder / f"feed-{spool.file('in', entry.name).name}"
    with spool.file("in", entry.name).open("rb") as whole, part.open("wb") as chunk:
        whole.seek(first * size)
        left = count * size
        while left and (data := whole.read(min(left, 1 << 20))):
            chunk.write(data)
            left -= len(data)
    return part


def _replayed(source: ModelSource, spool: Spool) -> dict[str, float]:
    from .exporters.accuracy import evaluated_with

    asked = iter(range(len(spool.digests)))

    def answer(inputs: Mapping[str, Any]) -> Any:
        import torch

        index = next(asked, None)
        if index is None or spool.digest(_arrays(inputs)) != spool.digests[index]:
            raise ModelError(
                "evaluate asked for other inputs the second time; the device has answered those of the first time. "
                "Make it deterministic: fixed data in a fixed order, and a fixed seed"
            )
        found = [torch.from_numpy(spool.sample("device", entry, index).copy()) for entry in spool.manifest.outputs]
        return torch.utils._pytree.tree_unflatten(found, spool.spec)

    return evaluated_with(source, answer)


def _parity(spool: Spool) -> dict[str, float]:
    """As `measure_parity`, sample by sample, so that no more than one is in memory."""
    from .exporters.parity import ratio_db, top1_agreement

    floats = [entry for entry in spool.manifest.outputs if np.dtype(entry.dtype).kind == "f"]
    count = len(spool.digests)
    figures = {"samples": float(count)}
    signal, noise = dict.fromkeys((e.name for e in floats), 0.0), dict.fromkeys((e.name for e in floats), 0.0)
    largest, agreed = 0.0, []
    for index in range(count):
        for entry in floats:
            wanted = spool.sample("torch", entry, index).astype(np.float64)
            found = spool.sample("device", entry, index)
            signal[entry.name] += float(np.sum(wanted**2))
            noise[entry.name] += float(np.sum((wanted - found) ** 2))
            largest = max(largest, float(np.max(np.abs(wanted - found), initial=0.0)))
            if entry is floats[0] and wanted.ndim >= 2 and wanted.shape[-1] > 1:
                agreed.append(top1_agreement([(wanted, found)]))
    if floats:
        figures["sqnr_db"] = min(ratio_db(signal[e.name], noise[e.name]) for e in floats)
        figures["max_abs"] = largest
    if agreed:
        figures["top1_agreement"] = float(np.mean(agreed))
    return figures


def _fitted(arrays: Arrays, entry: TensorEntry, what: str) -> NDArray[Any]:
    """Return a tensor as the artifact has it. Raises ModelError for another shape."""
    value = arrays.get(entry.name)
    if value is None:
        raise ModelError(f"the bundle's {what} {entry.name!r} is none of the model's: {', '.join(arrays)}")
    if value.shape != entry.golden_shape:
        shapes = f"{list(value.shape)}, and the bundle takes {list(entry.golden_shape)}"
        raise ModelError(f"evaluate calls predict with {what} {entry.name!r} of shape {shapes}; give it one at a time")
    return np.ascontiguousarray(value, dtype=np.dtype(entry.dtype))


def _arrays(inputs: Mapping[str, Any]) -> Arrays:
    plain = ((name, value.detach() if hasattr(value, "detach") else value) for name, value in inputs.items())
    return {name: np.asarray(value) for name, value in plain}


def _bytes(entry: TensorEntry) -> int:
    return int(np.prod(entry.golden_shape, dtype=np.int64)) * np.dtype(entry.dtype).itemsize
