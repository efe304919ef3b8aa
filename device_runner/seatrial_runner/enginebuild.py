"""How TensorRT shall build an engine of a bundle's ONNX file: ``build.json``, written at export, read by the runner.

The engine is built on the device, since a plan fits one TensorRT, one GPU and one platform only. What the build needs
to know is in this record, and nothing of it is decided on the device:

- ``onnx``, ``onnx_sha256``: the file, with all its weights inside. The hash goes into the key of a cached engine.
- ``form``: how precision is written in the graph. ``fp32``, ``fp16`` (casts in the graph), ``qdq-fp32`` (explicit
  Q/DQ pairs, all else float32), ``qdq-fp16`` (Q/DQ pairs with float32 scales between Casts, all else float16).
- ``weights``: ``int8`` (stored as integers behind a DequantizeLinear; TensorRT 10 and later) or ``float`` (behind a
  QuantizeLinear and a DequantizeLinear; all versions).
- ``modes``: how to build with which versions, [since, until). Up to 10.x a network may be *weakly* typed: then
  ``allowed`` are the types that the builder may choose beside float32, and ``float32_layers`` must be held in float32.
  *Strongly* typed, the graph's types are kept as they are; from 11 on TensorRT knows nothing else.
- ``profiles``: least, optimal and largest shape of each input that varies; TensorRT tunes for the optimal one. Empty
  when all shapes are fixed.
- ``tf32``: whether float32 products may be rounded to 10 bits of mantissa, TensorRT's default on Ampere and later.
- ``sparsity``: whether weights that are 2:4 sparse may use sparse kernels; ``optimization_level`` and
  ``workspace_bytes``: None leaves TensorRT's default.
- ``kept_float``: the modules that the user keeps out of INT8, for the record.
- ``calibration``: where the scales come from.

`trtexec_flags` puts all that into the words of `trtexec`; `mode_for` is for a runner that uses the Python API.

History of the format (key ``schema``):
- ``seatrial.engine-build/1``: first.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from seatrial_targets.errors import BundleError

from .manifest import ManifestPart, Sha256

ENGINE_BUILD_FILE = "build.json"
ENGINE_BUILD_SCHEMA: Literal["seatrial.engine-build/1"] = "seatrial.engine-build/1"
Form = Literal["fp32", "fp16", "qdq-fp32", "qdq-fp16"]
Version = tuple[int, ...]
Dotted = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
Shape = tuple[Annotated[int, Field(ge=1)], ...]
LAYER_PRECISIONS: Version = (8, 4)  # the first trtexec with --layerPrecisions
MEMORY_POOLS: Version = (8, 4)  # the first with --memPoolSize; before: --workspace
OPTIMIZATION_LEVELS: Version = (8, 6)


class BuildMode(ManifestPart):
    """How to build with TensorRT ``since`` (and, where given, before ``until``)."""

    since: Dotted
    until: Dotted | None = None
    strongly_typed: bool
    allowed: tuple[Literal["fp16", "int8"], ...] = ()  # weakly typed only

    def covers(self, version: Version) -> bool:
        """Return whether ``version`` is one that this mode is for."""
        return _numbers(self.since) <= version and (self.until is None or version < _numbers(self.until))


class InputProfile(ManifestPart):
    """Shapes of one input."""

    min: Shape
    opt: Shape
    max: Shape


class CalibrationRecord(ManifestPart):
    """Where the scales of activations come from.

    ``method`` is ``from-model`` when the model was quantized before (QAT, or PTQ in torch): then nothing was measured
    here. ``data_sha256`` is over the calibration samples in order. ``scales``: of each quantized activation, by the
    tensor's name in the ONNX file.
    """

    method: Literal["minmax", "entropy", "percentile", "from-model"]
    samples: Annotated[int, Field(ge=0)] = 0
    data_sha256: str = ""
    percentile: float | None = None
    scales: dict[str, float] = Field(default_factory=dict)


class EngineBuild(ManifestPart):
    """What ``build.json`` holds; see the module."""

    schema_: Literal["seatrial.engine-build/1"] = Field(default=ENGINE_BUILD_SCHEMA, alias="schema")
    onnx: str = "model.onnx"
    onnx_sha256: Sha256
    form: Form
    weights: Literal["int8", "float"] = "float"
    opset: int
    versions: str = ""  # of TensorRT, as in the target
    modes: tuple[BuildMode, ...]
    profiles: dict[str, InputProfile] = Field(default_factory=dict)
    tf32: bool = False
    sparsity: bool = False
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = None
    workspace_bytes: Annotated[int, Field(gt=0)] | None = None
    float32_layers: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    calibration: CalibrationRecord | None = None

    def mode_for(self, version: Version) -> BuildMode:
        """Return how to build with TensorRT ``version``, like (10, 3, 0). Raises BundleError when it is not for it."""
        for mode in self.modes:
            if mode.covers(version):
                return mode
        known = ", ".join(f"{m.since} to before {m.until}" if m.until else f"{m.since} and later" for m in self.modes)
        raise BundleError(
            f"the bundle was made for TensorRT {known}; the device has {'.'.join(map(str, version))}: "
            "export it again for a target with that version"
        )

    def trtexec_flags(self, version: Version) -> tuple[str, ...]:
        """Return the flags of `trtexec` that concern the build, sorted; not file names. Raises BundleError."""
        mode = self.mode_for(version)
        flags = [*_typing(mode, version), *_shapes(self.profiles)]
        flags += [] if self.tf32 else ["--noTF32"]
        flags += ["--sparsity=enable"] if self.sparsity else []
        if not mode.strongly_typed and self.float32_layers and version >= LAYER_PRECISIONS:
            names = ",".join(f"{name}:fp32" for name in self.float32_layers)
            flags += ["--precisionConstraints=obey", f"--layerPrecisions={names}", f"--layerOutputTypes={names}"]
        if self.optimization_level is not None and version >= OPTIMIZATION_LEVELS:
            flags.append(f"--builderOptimizationLevel={self.optimization_level}")
        if self.workspace_bytes is not None:
            mebibytes = max(1, self.workspace_bytes >> 20)
            pools = version >= MEMORY_POOLS
            flags.append(f"--memPoolSize=workspace:{mebibytes}" if pools else f"--workspace={mebibytes}")
        return tuple(sorted(flags))


def read_engine_build(path: Path) -> EngineBuild:
    """Read ``build.json`` from a verified bundle. Raises BundleError."""
    try:
        return EngineBuild.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{path}: {where}: {first['msg']}; export the bundle again") from error
    except OSError as error:
        raise BundleError(f"{path}: can't be read ({error.strerror}); export the bundle again for TensorRT") from error


def modes_for(form: Form, oldest: Version, end: Version, *, choose_fp16: bool = False) -> tuple[BuildMode, ...]:
    """Return how to build ``form`` with TensorRT from ``oldest`` up to before ``end``.

    Until 9.x there is no strong typing; in 10.x it is asked for; from 11 on there is nothing else. ``choose_fp16``: the
    builder may run float32 layers in float16 where that is faster, which it can up to 10.x: there is no mode for 11.
    """
    allowed: list[Literal["fp16", "int8"]] = ["fp16"] if choose_fp16 or form.endswith("fp16") else []
    allowed += ["int8"] if form.startswith("qdq") else []
    weak_until: Version = (11,) if choose_fp16 else (10,)
    modes = [
        BuildMode(since=_dotted(oldest), until=_dotted(weak_until), strongly_typed=False, allowed=tuple(allowed)),
        *([] if choose_fp16 else [BuildMode(since=_dotted(max(oldest, weak_until)), strongly_typed=True)]),
    ]
    return tuple(mode for mode in modes if oldest < _numbers(mode.until or "999") and _numbers(mode.since) < end)


def _typing(mode: BuildMode, version: Version) -> list[str]:
    if not mode.strongly_typed:
        return [f"--{kind}" for kind in mode.allowed]
    return ["--stronglyTyped"] if version < (11,) else []  # there it is the only way, and the flag only warns


def _shapes(profiles: dict[str, InputProfile]) -> list[str]:
    kinds = ("min", "opt", "max") if profiles else ()
    return [
        f"--{kind}Shapes="
        + ",".join(f"{name}:{'x'.join(map(str, getattr(shape, kind)))}" for name, shape in profiles.items())
        for kind in kinds
    ]


def _numbers(version: str) -> Version:
    return tuple(map(int, re.findall(r"\d+", version)))


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
