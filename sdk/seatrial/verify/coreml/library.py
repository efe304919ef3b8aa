"""coremltools: imported when it is used, checked, and without what it says that nobody can act on.

On anything but a Mac its import prints eight lines about libraries that only a Mac has, and it announces at each start
that this torch is newer than those it was tested with. What it converts is compared with torch afterwards.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seatrial_targets.errors import UserError

EXTRA = "pip install 'seatrial[coreml]'"
_NOISE = re.compile(
    r"Failed to load _ML\w+|Fail to import BlobReader|Torch version \S+ has not been tested"
    r"|scikit-learn version \S+ is not|(XGBoost|TensorFlow|Keras) version \S+ (is not supported|has not been tested)"
    r"|Tuple detected at graph output|Core ML only supports fp16 states|int64 dtype input"
    r"|Input '\w+' is of dtype bool|Trying to insert a cast op|overflow encountered in cast"
    r"|Saving value type of (int64|float64|bool) into a builtin type of (int32|fp32|i32|float32), might"
)
_CHATTY = ("torchao", "torch.utils._pytree", "torch._dynamo", "torch.fx")
_MOST_NUMPY = (2, 4)  # https://github.com/apple/coremltools/issues/2633


def load() -> Any:
    """Return the module coremltools. Raises UserError that says what to install when it, or a fit numpy, is absent."""
    import numpy

    if importlib.util.find_spec("coremltools") is None:
        raise UserError(f"Core ML packages need coremltools, which is not installed; run: {EXTRA}")
    if tuple(map(int, numpy.__version__.split(".")[:2])) >= _MOST_NUMPY:
        raise UserError(f"coremltools 9.0 fails with numpy {numpy.__version__}; run: pip install 'numpy<2.4'")
    with quiet():
        import coremltools
    return coremltools


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Context: coremltools' log is silent; yield the list that its real warnings are added to, each once."""
    heard: list[str] = []
    logger, chatty = logging.getLogger("coremltools"), [logging.getLogger(name) for name in _CHATTY]
    levels = [each.level for each in chatty]
    keep = _Keep(heard)
    logger.addFilter(keep)
    for each in chatty:
        each.setLevel(logging.CRITICAL)
    try:
        yield heard
    finally:
        logger.removeFilter(keep)
        for each, level in zip(chatty, levels, strict=True):
            each.setLevel(level)


class _Keep(logging.Filter):
    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def filter(self, record: logging.LogRecord) -> bool:
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.WARNING and text and not _NOISE.search(text) and text not in self._heard:
            self._heard.append(text)
        return False
