"""numpy's .npy files, versions 1 to 3, without numpy and without trust."""

from __future__ import annotations

import mmap
import re
import struct

from .failure import fail, text
from .files import read_file
from .job import Tensor

_DESCR = re.compile(rb"'descr': *('[^']{0,12}')")
_ORDER = re.compile(rb"'fortran_order': *(True|False)")
_SHAPE = re.compile(rb"'shape': *(\([0-9, ]{0,600}\))")
_MOST_HEADER = 65536


def read_npy(tensor: Tensor) -> memoryview:
    """Return the bytes of the tensor's file, which must hold exactly its dtype and shape, aligned to a page."""
    where, raw = text(tensor.path), read_file(tensor.path, 1 << 42)
    if len(raw) < 12 or raw[:6] != b"\x93NUMPY" or not 1 <= raw[6] <= 3:
        fail("device_error", f"{where}: ends early, or is not a .npy file of version 1 to 3")
    before = 10 if raw[6] == 1 else 12
    (length,) = struct.unpack("<H" if before == 10 else "<I", raw[8:before])
    if length > _MOST_HEADER or before + length > len(raw):
        fail("device_error", f"{where}: ends after {len(raw)} bytes, within its header of {length}")
    _check_header(tensor, raw[before : before + length])
    return _aligned(tensor, memoryview(raw)[before + length :])


def _aligned(tensor: Tensor, data: memoryview) -> memoryview:
    wanted = tensor.count * tensor.size
    if len(data) != wanted:
        fail(
            "device_error",
            f"{text(tensor.path)}: holds {len(data)} bytes of data where {wanted} belong; it was cut or changed",
        )
    copy = memoryview(mmap.mmap(-1, max(1, wanted)))[:wanted]
    copy[:] = data
    return copy


def _entry(pattern: re.Pattern[bytes], header: bytes, where: str) -> bytes:
    found = pattern.search(header)
    if found is None:
        fail("device_error", f"{where}: the .npy header is not numpy's")
    return found.group(1)


def _check_header(tensor: Tensor, header: bytes) -> None:
    where = text(tensor.path)
    descr, order, shape = (_entry(pattern, header, where) for pattern in (_DESCR, _ORDER, _SHAPE))
    name = f"tensor '{text(tensor.name)}'"
    if descr != b"'" + tensor.descr + b"'":
        wanted = f"{text(tensor.dtype)} ({text(tensor.descr)})"
        fail("user_error", f"{where}: holds dtype {text(descr)}, but {name} is {wanted}")
    if order != b"False":
        fail("user_error", f"{where}: is in Fortran order; save it in C order")
    if tuple(int(d) for d in re.findall(rb"[0-9]+", shape)) != tensor.shape:
        fail("user_error", f"{where}: holds shape {text(shape)}, but {name} is {tensor.shape}")
