"""A saved .mlpackage, opened without trust: the specification, the program, and the weights beside it."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from seatrial_targets.errors import BundleError

from . import library
from .blob import BlobFile, unpacked
from .program import Function, Literal, read_function
from .types import SUB_BYTE_BITS, TORCH, ValueType

AGAIN = "export it again"
_IN_BYTES = {"fp16": "<f2", "int8": "i1", "uint8": "u1", "uint32": "<u4"}
_FIELDS = {"floats": "<f4", "ints": "<i4", "bools": "?", "longInts": "<i8", "doubles": "<f8"}


class Package:
    """An .mlpackage. ``spec`` is its Model protobuf, ``function`` the one that a prediction runs."""

    def __init__(self, folder: Path, function: str = "") -> None:
        """Read the package at ``folder``; ``function`` names one of several, by default the package's own choice.

        Raises BundleError for what is missing, damaged or no ML program.
        """
        library.load()
        from coremltools.proto import MIL_pb2

        self.folder = folder
        root = _root_model(folder)
        self.spec = _read_spec(root)
        program = self.spec.mlProgram
        name = function or self.spec.description.defaultFunctionName or "main"
        if name not in program.functions:
            raise BundleError(f"{folder}: has no function {name!r}; it has: {', '.join(program.functions)}")
        chosen = program.functions[name]
        if chosen.opset not in chosen.block_specializations:
            raise BundleError(
                f"{folder}: function {name!r} has no body for its operation set {chosen.opset!r}; {AGAIN}"
            )
        self.function: Function = read_function(chosen, MIL_pb2.DataType)
        self._data = root.parent
        self._blobs: dict[str, BlobFile] = {}

    def value(self, literal: Literal) -> Any:
        """Return a literal: a tensor, a text, or a list of those. Raises BundleError when it is damaged."""
        if literal.proto.WhichOneof("value") == "blobFileValue":
            return self._from_file(literal)
        return _immediate(literal, self.folder)

    def _from_file(self, literal: Literal) -> torch.Tensor:
        where = literal.proto.blobFileValue
        path = self._weights(where.fileName)
        if path not in self._blobs:
            self._blobs[path] = BlobFile(Path(path))
        flat = self._blobs[path].read(where.offset, literal.type.dtype, _count(literal.type, self.folder))
        return _tensor(flat, literal.type)

    def _weights(self, name: str) -> str:
        relative = PurePosixPath(name.removeprefix("@model_path/"))
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{self.folder}: its weights {name!r} lie outside the package; it is refused")
        return str(self._data / relative)


def _root_model(folder: Path) -> Path:
    manifest = folder / "Manifest.json"
    try:
        body = json.loads(manifest.read_bytes())
        entry = body["itemInfoEntries"][body["rootModelIdentifier"]]["path"]
        relative = PurePosixPath(entry)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{folder}: is no .mlpackage, or a damaged one (Manifest.json: {error}); {AGAIN}") from error
    if relative.is_absolute() or ".." in relative.parts:
        raise BundleError(f"{manifest}: its model {entry!r} lies outside the package; it is refused")
    return folder / "Data" / relative


def _read_spec(path: Path) -> Any:
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError

    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise BundleError(f"{path}: the model can't be read ({error}); {AGAIN}") from error
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise BundleError(f"{path}: holds {kind or 'no model'}, not an ML program; {AGAIN} for iOS 15 or later")
    return spec


def _count(declared: ValueType, folder: Path) -> int:
    if any(n is None for n in declared.shape):
        raise BundleError(f"{folder}: a constant has no fixed shape ({declared}); {AGAIN}")
    return int(np.prod([n or 0 for n in declared.shape], dtype=np.int64))


def _immediate(literal: Literal, folder: Path) -> Any:
    value = literal.proto.immediateValue
    kind = value.WhichOneof("value")
    if kind == "list":
        return [_immediate(Literal(literal.type, each), folder) for each in value.list.values]
    if kind != "tensor":
        raise BundleError(f"{folder}: a constant is a {kind}, which no operation takes; {AGAIN}")
    which = value.tensor.WhichOneof("value")
    if which == "strings":
        texts = [str(each) for each in value.tensor.strings.values]
        return texts if literal.type.shape else texts[0]
    return _tensor(_plain(value.tensor, which, literal.type, folder), literal.type)


def _plain(tensor: Any, which: str, declared: ValueType, folder: Path) -> np.ndarray[Any, Any]:
    count = _count(declared, folder)
    if which == "bytes" and declared.dtype in SUB_BYTE_BITS:
        return unpacked(np.frombuffer(tensor.bytes.values, np.uint8), declared.dtype, count)
    if which == "bytes":
        flat = np.frombuffer(tensor.bytes.values, _IN_BYTES.get(declared.dtype, "u1"))
    else:
        flat = np.array(getattr(tensor, which).values, _FIELDS[which])
    if flat.size != count:
        raise BundleError(f"{folder}: a constant declared as {declared} has {flat.size} values; {AGAIN}")
    return flat


def _tensor(flat: np.ndarray[Any, Any], declared: ValueType) -> torch.Tensor:
    wide = flat.astype(np.int64) if flat.dtype in (np.uint16, np.uint32, np.uint64) else flat
    shape = [n or 0 for n in declared.shape]
    # A copy: the file is mapped read-only, and torch has no read-only tensors.
    return torch.from_numpy(np.array(wide)).to(TORCH[declared.dtype]).reshape(shape)
