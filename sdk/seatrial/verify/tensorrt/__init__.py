"""TensorRT without a GPU: the rules of its parser and compiler, and NVIDIA's own verdict where that is installed."""

from .check import Compiled, check
from .finding import Context, Finding, Rule
from .linter import RULES, lint_model

__all__ = ["RULES", "Compiled", "Context", "Finding", "Rule", "check", "lint_model"]
