"""ONNX Runtime on this host: what an exported artifact answers here is what a device is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seatrial_targets.profile import RuntimeSpec

Arrays = dict[str, "NDArray[Any]"]


class HostSession:
    """One artifact, loaded: ``run`` maps input arrays to output arrays, both by name."""

    def __init__(
        self,
        model: bytes | Path,
        *,
        optimization: str = "all",
        threads: int = 1,
        config: Mapping[str, str] | None = None,
        save_as: Path | None = None,
        disabled: Sequence[str] = (),
    ) -> None:
        """Load ``model`` (ONNX bytes, or the path of an ONNX or ORT file) on the CPU provider. ``save_as`` writes the
        optimised model there. Raises ExportError when ONNX Runtime refuses it."""
        import onnxruntime

        options = _options(optimization, threads, config or {}, save_as)
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options,
                providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled),
            )  # fmt: skip
        except Exception as error:  # onnxruntime raises a dozen unrelated classes of its own
            raise ExportError(f"ONNX Runtime on this host refuses the exported model: {_first_line(error)}") from error
        self.output_names = [each.name for each in self._session.get_outputs()]

    @classmethod
    def as_profiled(cls, model: bytes | Path, runtime: RuntimeSpec) -> HostSession:
        """Load with the optimisation and session options of a target's profile, on one thread."""
        return cls(model, optimization=runtime.optimization, config=runtime.config)

    def run(self, inputs: Mapping[str, NDArray[Any]], names: list[str] | None = None) -> Arrays:
        """Return the outputs (all, or those in ``names``) for one sample. Raises ExportError when it fails."""
        wanted = names if names is not None else self.output_names
        try:
            values = self._session.run(wanted, dict(inputs))
        except Exception as error:
            raise ExportError(f"the exported model fails in ONNX Runtime on this host: {_first_line(error)}") from error
        return dict(zip(wanted, map(np.asarray, values), strict=True))

    def given(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Return a sample as the artifact takes it, which is as it is."""
        return dict(inputs)

    def described(self) -> tuple[dict[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]:
        """Return the shapes of inputs and outputs by name; a dimension that varies has a name."""
        return _shapes(self._session.get_inputs()), _shapes(self._session.get_outputs())


def _shapes(values: Any) -> dict[str, tuple[int | str, ...]]:
    found: dict[str, tuple[int | str, ...]] = {}
    for value in values:
        found[value.name] = tuple(
            n if isinstance(n, int) else str(n or f"{value.name}_axis{axis}") for axis, n in enumerate(value.shape)
        )
    return found


def _options(optimization: str, threads: int, config: Mapping[str, str], save_as: Path | None) -> Any:
    import onnxruntime

    levels = {
        "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels[optimization]
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # its warnings about constants and saved models are for its own developers
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    if save_as is not None:
        options.optimized_model_filepath = str(save_as)
        if save_as.suffix == ".ort":
            options.add_session_config_entry("session.save_model_format", "ORT")
    return options


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
