"""weight.bin: the tensors that a program keeps beside itself.

The format is that of MILBlob (coremltools, mlmodel/src/MILBlob/Blob/StorageFormat.hpp), little-endian, every part
aligned to 64 bytes: a header (count, version), then for each tensor a record (a mark, its type, its size and where its
bytes are). A program refers to records by their offset. Nothing in the file is trusted: each number is checked first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from seatrial_targets.errors import BundleError

from .types import SUB_BYTE_BITS

ALIGNMENT = 64
VERSION = 2
_MARK = 0xDEADBEEF
_HEADER, _RECORD = struct.Struct("<II"), struct.Struct("<IIQQQ")
# The format's numbers of the types, and how numpy reads them; sub-byte types are packed, read as bytes.
_CODES = {
    1: ("fp16", "<f2"), 2: ("fp32", "<f4"), 3: ("uint8", "u1"), 4: ("int8", "i1"), 6: ("int16", "<i2"),
    7: ("uint16", "<u2"), 8: ("int4", "u1"), 9: ("uint1", "u1"), 10: ("uint2", "u1"), 11: ("uint4", "u1"),
    12: ("uint3", "u1"), 13: ("uint6", "u1"), 14: ("int32", "<i4"), 15: ("uint32", "<u4"),
}  # fmt: skip


class BlobFile:
    """A weight file, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Open ``path``. Raises BundleError when it is no weight file."""
        self._path = path
        try:
            self._bytes = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: the weights can't be read ({error}); export the package again") from error
        if len(self._bytes) < ALIGNMENT or _HEADER.unpack(self._bytes[:8].tobytes())[1] != VERSION:
            raise BundleError(f"{path}: is no weight file of version {VERSION}; export the package again")

    def read(self, offset: int, dtype: str, count: int) -> np.ndarray[Any, Any]:
        """Return the ``count`` values of type ``dtype`` at the record ``offset``, flat; sub-byte ones unpacked.

        Raises BundleError when the record is not there, or is of another type or size.
        """
        mark, code, size, where = self._record(offset)
        found, numpy_type = _CODES.get(code, (f"type {code}", "u1"))
        if mark != _MARK:
            raise BundleError(f"{self._path}: no tensor begins at byte {offset}; the file is damaged or another's")
        if found != dtype:
            raise BundleError(f"{self._path}: at byte {offset} is {found}, the program says {dtype}")
        bits = SUB_BYTE_BITS.get(dtype)
        needed = -(-count * bits // 8) if bits else count * np.dtype(numpy_type).itemsize
        if size != needed or where + size > len(self._bytes):
            raise BundleError(f"{self._path}: the tensor at byte {offset} has {size} bytes where {needed} belong")
        raw = self._bytes[where : where + size]
        return unpacked(raw, dtype, count) if bits else raw.view(numpy_type)

    def _record(self, offset: int) -> tuple[int, int, int, int]:
        if offset % ALIGNMENT or not 0 <= offset <= len(self._bytes) - ALIGNMENT:
            raise BundleError(f"{self._path}: the program refers to byte {offset}, which the file has not")
        mark, code, size, where, _padding = _RECORD.unpack(self._bytes[offset : offset + _RECORD.size].tobytes())
        return mark, code, size, where


def unpacked(raw: np.ndarray[Any, Any], dtype: str, count: int) -> np.ndarray[Any, Any]:
    """Return ``count`` sub-byte integers from bytes that hold them from the least significant bit on.

    >>> unpacked(np.array([0b00111001], np.uint8), "uint2", 4).tolist()
    [1, 2, 3, 0]
    """
    bits = SUB_BYTE_BITS[dtype]
    flags = np.unpackbits(np.ascontiguousarray(raw), bitorder="little")[: count * bits].reshape(count, bits)
    values = flags @ (1 << np.arange(bits)).astype(np.uint8)
    if dtype.startswith("uint"):
        return values.astype(np.uint8)
    signed = values.astype(np.int16)
    return np.where(signed >= 1 << (bits - 1), signed - (1 << bits), signed).astype(np.int8)
