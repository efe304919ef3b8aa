"""What torch, onnxscript and onnxruntime say on the side while exporting, and that no user can act on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Message (a regular expression that matches at its start), category, and why it may be hidden.
_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),  # torch's own pickling of its own specs
    # torch's own recurrent layers do this, and it is harmless: their parameters are registered under other names.
    (r"The tensor attributes? (self\.[\w.]*_flat_weights\[\d+\](, )?)+ (was|were) assigned", UserWarning),
    (r"Converting a tensor with requires_grad=True to a scalar", UserWarning),
    (r".*onnxscript.*deprecated", DeprecationWarning),
    (r".*ast\.(Num|Str|NameConstant|Bytes|Ellipsis) is deprecated", DeprecationWarning),
    (r".*NumPy module was reloaded", UserWarning),
    (
        r"the float32 number .* will be (truncated|clipped)",
        UserWarning,
    ),  # onnxconverter-common; we check fp16 by running
    (r"mapping\.", DeprecationWarning),
)
_MODULES = (
    r"torch\.onnx\..*",
    r"torch\.export\..*",
    r"torch\._export\..*",
    r"onnxscript\..*",
    r"onnx_ir\..*",
    r"torch\.jit\..*",
)
# Loggers that announce missing torchvision and the opset that they start from, and those that print in full what they
# then raise: we report what is raised.
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch.fx", "torch._subclasses")


class _AboutPreparing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "pre-processing before quantization" not in record.getMessage()


@contextmanager
def quiet() -> Iterator[None]:
    """Context: hide exactly those messages; warnings from the user's own code pass."""
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in _LOGGERS}
    advice, root = _AboutPreparing(), logging.getLogger()
    with warnings.catch_warnings():
        for message, category in _WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        for module in _MODULES:
            for kind in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=kind, module=module)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        root.addFilter(advice)
        try:
            yield
        finally:
            root.removeFilter(advice)
            for logger, level in loggers.items():
                logger.setLevel(level)
