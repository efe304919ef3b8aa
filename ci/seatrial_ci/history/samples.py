"""Samples as small blobs: 4 bytes each before compression, where JSON takes 8 and a row of a table 20."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Packed:
    """``count`` samples as zlib'd little-endian ``dtype``."""

    dtype: str
    count: int
    data: bytes


def pack(samples_ns: Sequence[int]) -> Packed:
    """Return the samples as uint32, or as uint64 where one exceeds 4.29 s."""
    dtype = "uint32" if max(samples_ns, default=0) < 2**32 else "uint64"
    values = np.asarray(samples_ns, dtype=dtype)
    ordered = values if sys.byteorder == "little" else values.byteswap()
    return Packed(dtype, len(samples_ns), zlib.compress(ordered.tobytes(), 6))


def unpack(packed: Packed) -> list[int]:
    """Return the samples. Raises ValueError when the blob is damaged."""
    if packed.dtype not in ("uint32", "uint64"):
        raise ValueError(f"unknown type of samples {packed.dtype!r}")
    try:
        values = np.frombuffer(zlib.decompress(packed.data), dtype=np.dtype(packed.dtype).newbyteorder("<"))
    except zlib.error as error:
        raise ValueError(f"damaged samples: {error}") from None
    if values.size != packed.count:
        raise ValueError(f"damaged samples: {values.size} instead of {packed.count}")
    found: list[int] = values.tolist()
    return found
