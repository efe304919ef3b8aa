"""How weights are stored in a package: as integers with scales, as indices into palettes, or without their zeros."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from ...verify.coreml import library
from .deployment import require
from .palette import palette

if TYPE_CHECKING:
    from seatrial_targets.coreml import WeightStorage
    from seatrial_targets.profile import TargetProfile

_WHAT = {"linear": "weights of {bits} bits", "palettize": "palettes of {bits} bits", "sparse": "sparse weights"}


def check_storage(target: TargetProfile) -> None:
    """Raise ExportError when the target's system can't read weights stored so, naming the one that can."""
    how = target.weights
    if how is None:
        return
    what = _WHAT[how.scheme].format(bits=how.bits)
    require(target, 16, what)
    if how.scheme == "linear" and how.bits == 4:
        require(target, 18, what)
    if how.scheme == "palettize" and how.bits == 3:
        require(target, 18, what)
    if how.scheme == "linear" and how.granularity == "per_group":
        require(target, 18, f"{what} with scales for groups of {how.group_size}")
    if how.scheme == "palettize" and how.granularity != "per_tensor":
        require(target, 18, f"{what} for groups of channels")


def stored(model: Any, how: WeightStorage) -> Any:
    """Return a converted MLModel with its weights stored as ``how`` says. Raises ExportError when none could be."""
    library.load()
    import coremltools.optimize.coreml as optimize

    config = optimize.OptimizationConfig(global_config=_config(optimize, how))
    function = {
        "linear": optimize.linear_quantize_weights,
        "palettize": optimize.palettize_weights,
        "sparse": optimize.prune_weights,
    }[how.scheme]
    before = _sizes(model)
    made = function(model, config)
    if _sizes(made) >= before:
        raise ExportError(f"no weight could be stored as {_WHAT[how.scheme].format(bits=how.bits)}: {_why(how)}")
    return made


def _config(optimize: Any, how: WeightStorage) -> Any:
    if how.scheme == "sparse":
        return optimize.OpThresholdPrunerConfig(
            threshold=0.0, minimum_sparsity_percentile=how.least_sparsity, weight_threshold=how.least_values
        )
    if how.scheme == "linear":
        granularity = {"per_group": "per_block"}.get(how.granularity, how.granularity)
        return optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype=f"int{how.bits}", granularity=granularity, block_size=how.group_size,
            weight_threshold=how.least_values,
        )  # fmt: skip
    grouped = how.granularity != "per_tensor"
    return optimize.OpPalettizerConfig(
        mode="custom", lut_function=lambda weight: palette(weight, how.bits),
        granularity="per_grouped_channel" if grouped else "per_tensor",
        group_size=1 if how.granularity == "per_channel" else how.group_size, weight_threshold=how.least_values,
    )  # fmt: skip


def _sizes(model: Any) -> int:
    return sum(path.stat().st_size for path in Path(model.weights_dir).glob("*"))


def _why(how: WeightStorage) -> str:
    if how.scheme == "sparse":
        return (
            f"none has {how.least_sparsity:.0%} zeros (weights.least_sparsity); prune the model first, "
            "with a recipe for example"
        )
    return f"none has {how.least_values} values (weights.least_values) and a size that its groups divide"
