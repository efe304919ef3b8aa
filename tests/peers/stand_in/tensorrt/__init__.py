"""A stand-in for NVIDIA's Python package tensorrt: no GPU; engines are those of the stand-in for trtexec.

Outputs are computed by ONNX Runtime with its optimiser off. What there is follows the API of 8.5 to 11, as far as our
runner uses it. It enqueues through the stand-in for libcudart, so that a CUDA graph can hold what it does.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy

SEATRIAL_STAND_IN = "stand-in tensorrt"
__version__ = os.environ.get("SEATRIAL_STAND_IN_TENSORRT", "10.3.0")
_BUILD = int(os.environ.get("SEATRIAL_STAND_IN_BUILD", "30"))
_TYPES = {"float": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
_NUMPY = {"float": "f4", "float16": "f2", "bool": "?"}
_CUDA = ctypes.CDLL("libcudart.so")
_CALL = ctypes.CFUNCTYPE(None)


class TensorIOMode(enum.Enum):
    """What a tensor is to an engine."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    """Types of tensors."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    INT64 = 8


class ILogger:
    """Receives messages."""

    class Severity(enum.Enum):
        """How bad."""

        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    def log(self, severity: ILogger.Severity, message: str) -> None:
        """Take a message; meant to be overridden."""


def init_libnvinfer_plugins(logger: ILogger, namespace: str) -> bool:
    """Load nothing."""
    return isinstance(logger, ILogger) and namespace == ""


class NetworkDefinitionCreationFlag(enum.IntEnum):
    """How a network is made."""

    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(enum.Enum):
    """What a builder may do."""

    FP16 = 0
    INT8 = 1
    TF32 = 2
    SPARSE_WEIGHTS = 3


class ProfilingVerbosity(enum.Enum):
    """How much an engine tells of its layers."""

    DETAILED = 2


class LayerInformationFormat(enum.Enum):
    """How layers are told."""

    JSON = 1


class Builder:
    """Makes plans of the stand-in's own form."""

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> dict[str, Any]:
        """A place for the model."""
        return {"flags": flags}

    def create_builder_config(self) -> Config:
        """A configuration."""
        return Config()

    def create_optimization_profile(self) -> Profile:
        """A profile."""
        return Profile()

    def build_serialized_network(self, network: dict[str, Any], config: Config) -> bytes | None:
        """The plan, as the stand-in for trtexec writes it."""
        if "SEATRIAL_STAND_IN_NO_MEMORY" in os.environ:
            text = "[virtualMemoryBuffer.cpp::resizePhysical::127] Error Code 2: OutOfMemory (no further information)"
            self.logger.log(ILogger.Severity.ERROR, text)
            return None
        about = json.dumps({"detailed": True, "flags": sorted(config.flags)}).encode()
        version = bytes([*(int(part) for part in __version__.split(".")[:3]), _BUILD])
        head = struct.pack("<II16x", 0x74727466, 0) + version + struct.pack("<I", len(about))
        return head + about + bytes(network["model"])


class OnnxParser:
    """Reads a model; what ONNX Runtime can't load is an error."""

    num_errors = 1

    def __init__(self, network: dict[str, Any], logger: ILogger) -> None:
        self.network, self.logger, self.problem = network, logger, ""

    def parse_from_file(self, path: str) -> bool:
        """Read the file."""
        with open(path, "rb") as file:
            self.network["model"] = file.read()
        try:
            Engine(self.network["model"], self.logger)
        except Exception as error:
            self.problem = str(error)[:300]
        return not self.problem

    def get_error(self, index: int) -> OnnxParser:
        """The one error."""
        return self

    def desc(self) -> str:
        """Its words."""
        return self.problem


class Profile:
    """Shapes."""

    def set_shape(self, name: str, least: tuple[int, ...], best: tuple[int, ...], most: tuple[int, ...]) -> None:
        """Take shapes in order."""
        if not all(a <= b <= c for a, b, c in zip(least, best, most, strict=True)):
            raise ValueError(name)


class Config:
    """What was asked for."""

    def __init__(self) -> None:
        self.flags, self.cache = ["TF32"], b""

    def set_flag(self, flag: BuilderFlag) -> None:
        """Allow something."""
        self.flags.append(flag.name)

    def clear_flag(self, flag: BuilderFlag) -> None:
        """Forbid something."""
        self.flags.remove(flag.name)

    def add_optimization_profile(self, profile: Profile) -> int:
        """Take a profile."""
        return 0

    def create_timing_cache(self, data: bytes) -> Config:
        """A cache."""
        self.cache = data + b"SEATRIAL STAND-IN timing cache\n"
        return self

    def set_timing_cache(self, cache: Config, ignore_mismatch: bool) -> bool:
        """Use a cache."""
        return not ignore_mismatch

    def get_timing_cache(self) -> Config:
        """The cache."""
        return self

    def serialize(self) -> bytes:
        """The cache's bytes."""
        return self.cache


class Runtime:
    """Loads engines."""

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, blob: bytes) -> Engine | None:
        """Return the engine, or None after an error to the logger, as the real one does."""
        want = bytes([*(int(part) for part in __version__.split(".")[:3]), _BUILD])
        if blob[:4] != struct.pack("<I", 0x74727466) or blob[24:28] != want:
            versions = (".".join(map(str, part)) for part in (want, blob[24:28]))
            text = "The engine plan file is not compatible with this version of TensorRT, expecting library version"
            self.logger.log(ILogger.Severity.ERROR, "{} {} got {}, please rebuild.".format(text, *versions))
            return None
        size = struct.unpack("<I", blob[28:32])[0]
        json.loads(blob[32 : 32 + size])
        return Engine(blob[32 + size :], self.logger)


class Engine:
    """A model in ONNX Runtime."""

    device_memory_size_v2 = 4096

    def __init__(self, model: bytes, logger: ILogger) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.logger = logger
        self.tensors = {each.name: each for each in (*self.session.get_inputs(), *self.session.get_outputs())}
        self.inputs = [each.name for each in self.session.get_inputs()]

    @property
    def num_io_tensors(self) -> int:
        """How many tensors go in and out."""
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        """Name by index."""
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        """Input or output."""
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        """The type."""
        return DataType[_TYPES[self.tensors[name].type[7:-1]]]

    def create_execution_context(self) -> Context:
        """A context."""
        return Context(self)

    def create_engine_inspector(self) -> Engine:
        """What tells layers: itself."""
        return self

    def get_engine_information(self, form: LayerInformationFormat) -> str:
        """One layer that multiplies."""
        layer = {"Name": "conv", "LayerType": "Convolution", "Inputs": [{"Format/Datatype": "Int8"}]}
        return json.dumps({"Layers": [layer], "Bindings": list(self.tensors)})


class Context:
    """Shapes, addresses, and the one call that enqueues."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.places: dict[str, int] = {}
        self.kept: list[Callable[[], None]] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Take a shape that fits the model's."""
        model = self.engine.tensors[name].shape
        fits = len(model) == len(shape) and all(
            not isinstance(m, int) or m == s for m, s in zip(model, shape, strict=True)
        )
        if not fits:
            self.engine.logger.log(ILogger.Severity.ERROR, f"setInputShape: {shape} does not satisfy {model}")
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, given those of the inputs."""
        if name in self.shapes:
            return self.shapes[name]
        zeros = {each: numpy.zeros(self.shapes[each], self._dtype(each)) for each in self.engine.inputs}
        outputs = [each for each in self.engine.tensors if each not in self.engine.inputs]
        return tuple(self.engine.session.run(outputs, zeros)[outputs.index(name)].shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        """Note where a tensor lies."""
        self.places[name] = address
        return address != 0

    def execute_async_v3(self, stream: int) -> bool:
        """Enqueue one inference."""
        if set(self.places) != set(self.engine.tensors) or not stream or "SEATRIAL_STAND_IN_FAILS" in os.environ:
            self.engine.logger.log(ILogger.Severity.ERROR, "Error Code 3: API Usage Error (enqueueV3)")
            return False
        call = _CALL(self._infer)
        self.kept.append(call)  # a graph may call it later
        return bool(_CUDA.stand_in_enqueue(call) == 0)

    def _infer(self) -> None:
        feed = {name: self._at(name, self.shapes[name]) for name in self.engine.inputs}
        outputs = [name for name in self.engine.tensors if name not in self.engine.inputs]
        for name, value in zip(outputs, self.engine.session.run(outputs, feed), strict=True):
            ctypes.memmove(self.places[name], value.tobytes(), value.nbytes)

    def _at(self, name: str, shape: tuple[int, ...]) -> Any:
        dtype = numpy.dtype(self._dtype(name))
        size = int(numpy.prod(shape)) * dtype.itemsize
        return numpy.frombuffer(ctypes.string_at(self.places[name], size), dtype).reshape(shape)

    def _dtype(self, name: str) -> str:
        kind = self.engine.tensors[name].type[7:-1]
        return _NUMPY.get(kind, kind)
