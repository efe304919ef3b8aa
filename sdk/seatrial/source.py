"""Where a model comes from: `module:factory`, `file.py:factory`, a `.pt2` file, or `hf:FOLDER`.

A factory takes no arguments and returns a ModelSource, or one of the short forms:

    return module, (x,)                                   # the module and its example inputs
    return {"module": module, "example_inputs": (x,)}     # any fields of ModelSource, by name
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    import torch

Sample = Any  # a tensor or array, a tuple of them, or a mapping from input name to them
Predict = Callable[..., Any]
"""Called with a model's inputs (tensors), returns what the module returns (tensors)."""
Loss = Callable[[Any, Any], "torch.Tensor"]
"""Called with what the module returned and a batch's target, returns a scalar tensor to minimise."""


@dataclass(frozen=True, eq=False)
class ModelSource:
    """A module, and what is needed to export it and to judge the result.

    ``example_inputs``: a tensor, a tuple of tensors (positional), or a mapping from forward's argument names to
    tensors. They become the bundle's golden inputs. ``calibration`` and ``checks``: iterables of samples of that same
    form (or functions without arguments that return one); calibration sets the ranges of static INT8, checks are what
    parity is measured on, and should be other data. ``evaluate(predict)`` returns metrics; it is called with the
    module and with each exported artifact, which both take and return tensors in the same way. ``train``: batches to
    train on, an iterable (a DataLoader, a list) or a function without arguments that returns a new one for each epoch.
    A batch is a pair (inputs, target), inputs alone, or a mapping in which what is no input of forward is the target.
    ``loss(outputs, target)``: without one it is cross-entropy over class indices. ``fit(module)``: your own training
    loop, which trains a module in place; steps that minimise your own loss call it instead of ours.
    ``dynamic_shapes``: as in torch.export, used where the target's profile leaves an input's shape open. ``program``
    replaces the capture of ``module`` when the source is a `.pt2` file. ``reference``: the module that parity and
    accuracy are held against, when ``module`` was made from it by compression, and ``recipe_digest`` names the recipe
    that did it. ``learned_scales``: the scales of its quantizers were trained, so that exporters keep them to the bit.
    """

    module: torch.nn.Module
    example_inputs: Any
    dynamic_shapes: Any = None
    calibration: Iterable[Sample] | Callable[[], Iterable[Sample]] | None = None
    checks: Iterable[Sample] | Callable[[], Iterable[Sample]] | None = None
    evaluate: Callable[[Predict], Mapping[str, float]] | None = None
    train: Iterable[Any] | Callable[[], Iterable[Any]] | None = None
    loss: Loss | None = None
    fit: Callable[[torch.nn.Module], None] | None = None
    weights_licence: str = ""
    name: str = ""
    program: torch.export.ExportedProgram | None = None
    reference: torch.nn.Module | None = None
    recipe_digest: str = ""
    learned_scales: bool = False
    keep_float: Sequence[str] = ()
    class_labels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_module(self.module)
        self.inputs  # noqa: B018 - raises ModelError now rather than in the middle of an export

    @functools.cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The example inputs by name, in the order of forward's arguments."""
        return _named_inputs(self.module, self.example_inputs, self._positional_names())

    @property
    def positional(self) -> bool:
        """True when the module is called with positional arguments, False when by keyword."""
        return not isinstance(self.example_inputs, Mapping)

    @functools.cached_property
    def digest(self) -> str:
        """Sha256 hex over the captured graph and the weights; the same on every machine with the same torch."""
        from .exporters.digest import model_digest

        return model_digest(self)

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Run the module in eval mode, without gradients, on inputs by name; the module is left in its mode.

        Raises ModelError, with the user's own line, when the module fails."""
        import torch

        from .exporters.blame import user_frame

        with torch.no_grad(), evaluating(self.module):
            try:
                return self.module(*inputs.values()) if self.positional else self.module(**inputs)
            except Exception as error:
                where = user_frame(error, self.module)
                raise ModelError(f"{where}: the model fails on its inputs: {_one_line(error)}") from error

    def with_data_of(self, original: ModelSource) -> ModelSource:
        """Return this model with the data, the metrics and, as its reference, the module of ``original``.

        Raises ModelError when the two take other inputs.
        """
        if list(self.inputs) != list(original.inputs):
            names = (", ".join(self.inputs), ", ".join(original.inputs))
            raise ModelError(f"the model takes {names[0]}, the one that its data comes from {names[1]}")
        taken = ("calibration", "checks", "evaluate", "train", "loss", "fit", "dynamic_shapes")
        data = {name: getattr(original, name) for name in taken}
        licence = self.weights_licence or original.weights_licence
        return dataclasses.replace(self, reference=original.module, weights_licence=licence, **data)

    def original(self) -> ModelSource:
        """Return the source of the reference: what this model was compressed from, or this one itself."""
        if self.reference is None:
            return self
        return dataclasses.replace(
            self, module=self.reference, program=None, reference=None, recipe_digest="", learned_scales=False
        )

    def _positional_names(self) -> tuple[str, ...]:
        if self.program is not None:
            return tuple(self.program.graph_signature.user_inputs)
        return forward_names(self.module)


class evaluating:  # noqa: N801 - reads as a phrase: with evaluating(module)
    """Context: the module and its children in eval mode, each put back to its own mode afterwards."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._modes = [(child, child.training) for child in module.modules()]

    def __enter__(self) -> None:
        for child, _ in self._modes:
            child.training = False

    def __exit__(self, *_: object) -> None:
        for child, training in self._modes:
            child.training = training


def load_source(spec: str, *, allow_pickle: bool = False, allow_remote_code: bool = False) -> ModelSource:
    """Load `module:factory`, `file.py:factory`, `x.pt2` or `hf:FOLDER`. Raises ModelError that says what, where and
    what next.

    ``allow_pickle`` lets a `.pt2` hold objects whose loading runs code from the file, and ``allow_remote_code`` lets a
    Hugging Face folder bring Python code of its own: both only for files that you trust.
    """
    if spec.startswith("hf:"):
        from .huggingface.load import load_folder

        return load_folder(Path(spec.removeprefix("hf:")), allow_remote_code=allow_remote_code)
    if spec.endswith(".pt2"):
        from .exporters.pt2 import load_pt2

        return load_pt2(Path(spec), allow_pickle=allow_pickle)
    from .factory import call_factory, find_factory

    return call_factory(*find_factory(spec))


def from_returned(value: Any, where: str, name: str) -> ModelSource:
    """Make a ModelSource of what a factory returned. ``where`` begins each error."""
    if isinstance(value, ModelSource):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value, where, name)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return _made(where, name, {"module": value[0], "example_inputs": value[1]})
    raise ModelError(
        f"{where}: returned {_kind(value)}; return seatrial.ModelSource(module, example_inputs), the pair "
        "(module, example_inputs), or a dict of ModelSource's fields"
    )


def forward_names(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the names of forward's positional arguments; `*args` yields none."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)


def _from_mapping(value: Mapping[str, Any], where: str, name: str) -> ModelSource:
    known = [field.name for field in fields(ModelSource)]
    for key in value:
        if key not in known:
            raise ModelError(f"{where}: unknown key {key!r}{did_you_mean(str(key), known)}; known: {', '.join(known)}")
    for key in ("module", "example_inputs"):
        if key not in value:
            raise ModelError(f"{where}: the returned dict lacks {key!r}; add it")
    return _made(where, name, value)


def _made(where: str, name: str, values: Mapping[str, Any]) -> ModelSource:
    try:
        return ModelSource(**{"name": name, **values})
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error


def _check_module(module: Any) -> None:
    import torch

    if not isinstance(module, torch.nn.Module):
        called = "; call it: return Net(), not Net" if isinstance(module, type) else ""
        raise ModelError(f"the model is {_kind(module)}, not a torch.nn.Module{called}")


def _named_inputs(module: torch.nn.Module, raw: Any, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    import torch

    values = dict(raw) if isinstance(raw, Mapping) else _by_position(raw, names)
    if not values:
        raise ModelError("example_inputs is empty; give one tensor for each of forward's arguments")
    for name, value in values.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"example input {name!r} is {_kind(value)}, not a tensor; pass torch tensors only")
        if isinstance(raw, Mapping) and names and name not in names:
            raise ModelError(f"example input {name!r} is no argument of forward{did_you_mean(name, names)}")
        _check_values(name, value)
    return values


def _check_values(name: str, value: torch.Tensor) -> None:
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise ModelError(f"example input {name!r} holds NaN or infinity; golden outputs would mean nothing")


def _by_position(raw: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = list(raw) if isinstance(raw, list | tuple) else [raw]
    if names and len(values) > len(names):
        raise ModelError(f"{len(values)} example inputs for a forward that takes {len(names)}: {', '.join(names)}")
    named = [names[i] if i < len(names) else f"input_{i}" for i in range(len(values))]
    return dict(zip(named, values, strict=True))


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    article = "an" if type(value).__name__[:1].lower() in "aeiou" else "a"
    return "None" if value is None else f"{article} {type(value).__name__}"


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
