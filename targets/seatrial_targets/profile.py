"""A target: a class of devices, and how a model is exported for it, run on it and judged on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from .budgets import Budgets
from .coreml import CoreMLSettings, WeightStorage
from .spec import Spec
from .units import SizeBytes
from .window import Window

Architecture = Literal["x86_64", "aarch64", "armv7l"]
OperatingSystem = Literal["linux", "android", "ios", "macos"]
Precision = Literal["fp32", "fp16", "int8"]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _name(text: object) -> object:
    if isinstance(text, str) and not re.fullmatch(NAME_PATTERN, text):
        raise ValueError(f"{text!r} is not a name; use up to 64 letters, digits, '.', '_', '-' (not first)")
    return text


Name = Annotated[str, Field(pattern=NAME_PATTERN), BeforeValidator(_name)]
Count = Annotated[int, Field(ge=1, le=65536)]
Dimension = Annotated[int, Field(ge=1, lt=2**31)]
FixedShape = tuple[Dimension, ...]

# What `uname -m` says, in our words. A 64-bit ARM kernel says armv8l to a 32-bit process; Apple says arm64.
_MACHINES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "aarch64",
    "arm64-v8a": "aarch64",
    "armv8l": "armv7l",
    "armeabi-v7a": "armv7l",
}


def _specifier(text: str) -> str:
    for part in filter(None, re.split(r"\s*,\s*", text.strip())):
        if not re.fullmatch(r"(>=|<=|==|!=|>|<)\s*\d+(\.\d+)*", part):
            raise ValueError(f"{part!r} is not a version condition; write for example '>=1.17,<2'")
    return text


Versions = Annotated[str, AfterValidator(_specifier)]  # conditions with commas between; empty: any


class DeviceClass(Spec):
    """What the devices of a target have in common, and what tells them from others.

    ``architecture``, ``os`` with its interval, and ``models`` (shell patterns of what a device calls itself, in Linux
    /proc/device-tree/model) select devices; the rest describes them.
    """

    kind: Literal["computer", "board", "phone", "tablet", "vehicle"]
    soc: str = ""
    cpu: str = ""
    cores: Count | None = None
    accelerator: str = ""
    compute_capability: Annotated[str, Field(pattern=r"^(\d+\.\d+)?$")] = ""
    memory_bytes: tuple[SizeBytes, ...] = ()  # the sizes it is sold with
    architecture: Architecture
    models: tuple[str, ...] = ()
    os: OperatingSystem
    os_min: Annotated[str, Field(pattern=r"^(\d+(\.\d+)*)?$")] = ""
    os_max: Annotated[str, Field(pattern=r"^(\d+(\.\d+)*)?$")] = ""
    jetpack: Versions = ""  # NVIDIA's releases

    @model_validator(mode="after")
    def _interval(self) -> DeviceClass:
        if self.os_min and self.os_max and version_key(self.os_min) > version_key(self.os_max):
            raise ValueError(f"os_min ({self.os_min}) is above os_max ({self.os_max})")
        return self


class EngineSettings(Spec):
    """How TensorRT builds an engine on the device.

    ``tf32`` lets float32 products be rounded to 10 bits of mantissa, which TensorRT does by default and a target called
    fp32 should not; ``sparsity`` allows kernels for 2:4 sparse weights (Ampere and later). None: TensorRT's default.
    """

    tf32: bool = False
    sparsity: bool = False
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = None
    workspace_bytes: SizeBytes | None = None


class RuntimeSpec(Spec):
    """What executes the artifact, in which versions, and with which options. ``engine`` is for TensorRT."""

    name: Literal["onnxruntime", "tensorrt", "coreml"]
    versions: Versions = ""
    providers: tuple[str, ...] = ()  # ONNX Runtime execution providers, or Core ML compute units, in order
    provider_options: dict[str, dict[str, str]] = Field(default_factory=dict)  # of ONNX Runtime's, by provider
    threads: Count = 1
    spin: bool = True
    optimization: Literal["none", "basic", "extended", "all"] = "all"
    config: dict[str, str] = Field(default_factory=dict)
    engine: EngineSettings = EngineSettings()


class Quantization(Spec):
    """How floating point becomes integers.

    ``rest`` is what all that is not quantized computes in; other values than fp32 are for TensorRT: ``fp16`` has casts
    in the graph, ``either`` lets the builder of TensorRT 8 to 10 choose. ``keep_float`` names modules that are not
    quantized, as paths or patterns: ``features.0``, ``head.*``.
    ``reduce_range`` keeps weights to 7 bits: u8 x s8 products saturate in x86 CPUs without VNNI.
    ``histogram_bins`` is for entropy calibration: with 128 it gives what minmax gives.
    """

    scheme: Literal["static", "dynamic"] = "static"
    activation: Literal["uint8", "int8"] = "uint8"
    weight: Literal["int8"] = "int8"
    per_channel: bool = True
    symmetric: bool = False  # of activations; weights always are
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    histogram_bins: Annotated[int, Field(ge=128, le=65536)] = 2048
    quantize_bias: bool = True
    reduce_range: bool = False
    rest: Literal["fp32", "fp16", "either"] = "fp32"
    keep_float: tuple[str, ...] = ()


class EnumeratedShapes(Spec):
    """An input that may have one of a few shapes; the first is the default."""

    enumerated: Annotated[tuple[FixedShape, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _same_rank(self) -> EnumeratedShapes:
        if len({len(shape) for shape in self.enumerated}) > 1:
            raise ValueError("the enumerated shapes differ in their number of dimensions")
        return self


class ShapeRange(Spec):
    """An input whose dimensions vary between ``min`` and ``max``; ``opt`` is what the runtime is tuned for."""

    min: FixedShape
    opt: FixedShape
    max: FixedShape

    @model_validator(mode="after")
    def _ordered(self) -> ShapeRange:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError("min, opt and max differ in their number of dimensions")
        if any(not low <= mid <= high for low, mid, high in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError("min <= opt <= max must hold for each dimension")
        return self


def _shape_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "shapes in a list" if "enumerated" in value else "range of shapes"
    if isinstance(value, EnumeratedShapes | ShapeRange):
        return "shapes in a list" if isinstance(value, EnumeratedShapes) else "range of shapes"
    return "one shape"


Shape = Annotated[
    Annotated[FixedShape, Tag("one shape")]
    | Annotated[EnumeratedShapes, Tag("shapes in a list")]
    | Annotated[ShapeRange, Tag("range of shapes")],
    Discriminator(_shape_kind),
]


def span(shape: Shape) -> tuple[FixedShape, FixedShape, FixedShape]:
    """Return the least, the optimal and the largest of what a shape allows; of a list, its first is the optimal one."""
    if isinstance(shape, ShapeRange):
        return shape.min, shape.opt, shape.max
    if isinstance(shape, EnumeratedShapes):
        columns = list(zip(*shape.enumerated, strict=True))
        return tuple(map(min, columns)), shape.enumerated[0], tuple(map(max, columns))
    return shape, shape, shape


class TargetProfile(Spec):
    """A target, resolved: nothing is inherited any more. As JSON it reads back unchanged."""

    name: Name
    summary: str
    device: DeviceClass
    runtime: RuntimeSpec
    precision: Precision
    quantization: Quantization | None = None
    weights: WeightStorage | None = None  # Core ML: how they are stored when arithmetic is in floating point
    coreml: CoreMLSettings = CoreMLSettings()
    opset: Annotated[int, Field(ge=13, le=24)] | None = None  # of ONNX
    ort_format: bool = False  # also convert to ONNX Runtime's own .ort
    channel_multiple: Annotated[int, Field(ge=1, le=256)] = 8  # kernels compute whole blocks of so many channels
    shapes: dict[str, Shape] = Field(default_factory=dict)  # by name of the input; others as the model source says
    preparation: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    window: Window = Window()
    budgets: Budgets = Budgets()

    @model_validator(mode="after")
    def _consistent(self) -> TargetProfile:
        if (self.precision == "int8") != (self.quantization is not None):
            wanted = "given" if self.precision == "int8" else "absent"
            raise ValueError(f"precision is {self.precision}, so quantization must be {wanted}")
        if self.runtime.name == "coreml" and self.opset is not None:
            raise ValueError("opset is for ONNX; Core ML has none")
        self._require_coreml()
        if self.runtime.name == "tensorrt":
            _require_symmetric(self.quantization)
        elif self.runtime.engine != EngineSettings():
            raise ValueError(f"runtime.engine is for TensorRT; {self.runtime.name} builds no engines")
        elif self.quantization is not None and self.quantization.rest != "fp32":
            raise ValueError(f"quantization.rest is for TensorRT; {self.runtime.name} takes fp32")
        return self

    def _require_coreml(self) -> None:
        if self.runtime.name != "coreml" and (self.weights is not None or self.coreml != CoreMLSettings()):
            raise ValueError(f"weights and coreml are for Core ML, not for {self.runtime.name}")
        if self.weights is not None and self.precision == "int8":
            raise ValueError("precision int8 already says how weights are stored; leave weights out, or choose fp16")
        kept = self.coreml.keep_float32
        if kept and self.precision != "fp16":
            raise ValueError(f"coreml.keep_float32 keeps operations out of float16, but precision is {self.precision}")
        if "auto" in kept and self.weights is not None:
            raise ValueError(
                "coreml.keep_float32: auto looks for what float16 costs, which stored weights hide; leave weights out, "
                "or name the operations"
            )

    def keeping_float32(self, names: Sequence[str]) -> TargetProfile:
        """Return the profile with ``coreml.keep_float32`` set. Raises pydantic's ValidationError where it can't be."""
        settings = self.coreml.model_dump() | {"keep_float32": tuple(names)}
        return TargetProfile.model_validate(self.model_dump(by_alias=True) | {"coreml": settings})

    def selects(self, *, machine: str = "", model: str = "", os: str = "", os_version: str = "") -> bool:
        """Return whether a device that reports this fits the target; what it does not report is not judged."""
        return not self.mismatch(machine=machine, model=model, os=os, os_version=os_version)

    def mismatch(self, *, machine: str = "", model: str = "", os: str = "", os_version: str = "") -> str:
        """Return why a device does not fit, or an empty string. ``machine`` is what `uname -m` says."""
        device, reason = self.device, ""
        if machine and architecture(machine) != device.architecture:
            reason = f"is {machine}, but target {self.name} is for {device.architecture}"
        elif os and os.lower() != device.os:
            reason = f"runs {os}, but target {self.name} is for {device.os}"
        elif model and device.models and not any(fnmatchcase(model, pattern) for pattern in device.models):
            reason = f"is a {model!r}, but target {self.name} is for {' or '.join(device.models)}"
        elif os_version:
            reason = self._outside(os_version)
        return reason and f"the device {reason}"

    def _outside(self, os_version: str) -> str:
        low, high = self.device.os_min, self.device.os_max
        version = version_key(os_version)
        if low and version < version_key(low):
            return f"runs {self.device.os} {os_version}; target {self.name} needs {low} or later"
        if high and version[: high.count(".") + 1] > version_key(high):
            return f"runs {self.device.os} {os_version}; target {self.name} ends at {high}"
        return ""


def _require_symmetric(how: Quantization | None) -> None:
    """TensorRT takes symmetric int8 with zero point 0, and biases in floating point."""
    if how is None:
        return
    wanted = {
        "scheme": "static",
        "activation": "int8",
        "symmetric": True,
        "quantize_bias": False,
        "reduce_range": False,
    }
    for key, value in wanted.items():
        if getattr(how, key) != value:
            found = str(getattr(how, key)).lower()
            raise ValueError(f"quantization.{key} is {found}; TensorRT takes only {str(value).lower()}")


def architecture(machine: str) -> str:
    """Return what `uname -m` says in the words of `DeviceClass.architecture`; unknown machines as they are."""
    return _MACHINES.get(machine.lower(), machine.lower())


def version_key(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, comparable; '17.4.1-beta' is (17, 4, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))
