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
from pathlib import PurePath
from typing import Any

from seatrial_targets.errors import UserError

EXTRA = "pip install 'seatrial[coreml]'"
_NOISE = re.compile(
    r"Failed to load _ML\w+|Fail to import BlobReader|Torch version \S+ has not been tested"
    r"|scikit-learn version \S+ is not|(XGBoost|TensorFlow|Keras) version \S+ (is not supported|has not been tested)"
    r"|Tuple detected at graph output|Core ML embedding \(gather\) layer|Core ML only supports fp16 states"
    r"|int64 dtype input"
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
    ear = _Ear()
    logger, chatty = logging.getLogger("coremltools"), [logging.getLogger(name) for name in _CHATTY]
    levels, propagate = [each.level for each in chatty], logger.propagate
    logger.addHandler(ear)  # a handler, since a filter would not see what loggers below this one say
    root, at_root = logging.getLogger(), _AtRoot(ear)
    root.addHandler(at_root)
    logger.propagate = False
    for each in chatty:
        each.setLevel(logging.CRITICAL)
    try:
        yield ear.heard
    finally:
        logger.removeHandler(ear)
        root.removeHandler(at_root)
        logger.propagate = propagate
        for each, level in zip(chatty, levels, strict=True):
            each.setLevel(level)


def condensed(heard: list[str]) -> tuple[str, ...]:
    """Return warnings with those of one kind, which differ in numbers and names of values, as one line.

    >>> condensed(["axis 1: 24 is odd", "axis 1: 40 is odd", "other"])
    ('axis 1: 24 is odd (and 1 more of that kind)', 'other')
    """
    kinds: dict[str, list[str]] = {}
    for text in heard:
        kinds.setdefault(re.sub(r"\b\w*\d\w*\b", "#", text), []).append(text)
    return tuple(
        first + (f" (and {len(others)} more of that kind)" if others else "") for first, *others in kinds.values()
    )


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if text and not _NOISE.search(text) and text not in self.heard:
            self.heard.append(text)


class _AtRoot(logging.Handler):
    """Parts of coremltools (`coremltools.optimize`) log under no name; the root's other records are passed on."""

    def __init__(self, ear: _Ear) -> None:
        super().__init__(logging.WARNING)
        self._ear = ear

    def emit(self, record: logging.LogRecord) -> None:
        if "coremltools" in PurePath(record.pathname).parts:
            self._ear.emit(record)
        elif self._alone() and logging.lastResort is not None:
            logging.lastResort.handle(record)  # which is silent as soon as there is any handler

    def _alone(self) -> bool:
        first, *others = logging.getLogger().handlers
        return first is self and all(isinstance(each, _AtRoot) for each in others)
