"""Build an engine through TensorRT's Python API, where the device has no trtexec. Options and lines are trtexec's.

Only those options are known that Seatrial gives (`seatrial_runner.runtime.tensorrt.commands.build_command`): an unknown
one fails, rather than that another engine is built than was asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from .trt import imported, numbers

KNOWN = {
    "onnx", "saveEngine", "timingCacheFile", "skipInference", "buildOnly", "profilingVerbosity", "exportLayerInfo",
    "int8", "fp16", "stronglyTyped", "noTF32", "sparsity", "minShapes", "optShapes", "maxShapes", "memPoolSize",
    "builderOptimizationLevel", "precisionConstraints", "layerPrecisions", "layerOutputTypes",
}  # fmt: skip


class BuildFailedError(Exception):
    """No engine; the message is the last word, TensorRT's own were printed."""


def say(level: str, words: str) -> None:
    """Print a line as trtexec does: the time, the level (I, W, E) and the words."""
    print(time.strftime("[%m/%d/%Y-%H:%M:%S]"), f"[{level}]", words.replace("\n", " "), flush=True)


def main(options: list[str]) -> int:
    """Build as the options say. Return 0, or 1 when there is no engine."""
    given = {name: value for name, _, value in (option[2:].partition("=") for option in options)}
    try:
        Build(given).run()
    except BuildFailedError as error:
        say("E", str(error))
        return 1
    return 0


class Build:
    """One build."""

    def __init__(self, given: dict[str, str]) -> None:
        unknown = sorted(set(given) - KNOWN)
        if unknown:
            raise BuildFailedError(f"Unknown option: --{unknown[0]}")
        self.given, self.trt = given, imported()
        self.major = numbers(self.trt)[0]
        self.logger = logger(self.trt)
        if getattr(self.trt, "SEATRIAL_STAND_IN", ""):
            say("I", "SEATRIAL STAND-IN: no GPU and no TensorRT")

    def run(self) -> None:
        """Build the engine and write it, its timings and its layers; raise BuildFailedError where there is none."""
        trt = self.trt
        trt.init_libnvinfer_plugins(self.logger, "")
        builder = trt.Builder(self.logger)
        network = builder.create_network(self._network_flags())
        self._parse(network)
        config = builder.create_builder_config()
        self._configure(builder, network, config)
        begin = time.monotonic()
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildFailedError("Engine could not be created from network")
        say("I", f"Engine built in {time.monotonic() - begin:g} sec.")
        blob = bytes(plan)
        say("I", f"Created engine with size: {len(blob) / 2**20:g} MiB")
        write(self.given["saveEngine"], blob)
        self._keep_timings(config)
        self._tell_layers(blob)

    def _network_flags(self) -> int:
        kinds = self.trt.NetworkDefinitionCreationFlag
        flags = 1 << int(kinds.STRONGLY_TYPED) if "stronglyTyped" in self.given or self.major >= 11 else 0
        batch = getattr(kinds, "EXPLICIT_BATCH", None)  # 8.x takes ONNX files with it only; later ones know no other
        return flags | (1 << int(batch) if batch is not None and self.major < 10 else 0)

    def _parse(self, network: Any) -> None:
        parser = self.trt.OnnxParser(network, self.logger)
        if not parser.parse_from_file(self.given["onnx"]):
            for index in range(parser.num_errors):
                say("E", f"[TRT] {parser.get_error(index).desc()}")
            raise BuildFailedError("Parsing model failed")

    def _configure(self, builder: Any, network: Any, config: Any) -> None:
        trt, given = self.trt, self.given
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        for name in ("int8", "fp16"):
            if name in given:
                config.set_flag(getattr(trt.BuilderFlag, name.upper()))
        if "noTF32" in given:
            config.clear_flag(trt.BuilderFlag.TF32)
        if given.get("sparsity") == "enable":
            config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
        if "builderOptimizationLevel" in given:
            config.builder_optimization_level = int(given["builderOptimizationLevel"])
        if "memPoolSize" in given:
            mebibytes = int(given["memPoolSize"].partition(":")[2])
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, mebibytes << 20)
        self._hold_precisions(network, config)
        self._add_profile(builder, config)
        self._use_timings(config)

    def _hold_precisions(self, network: Any, config: Any) -> None:
        names = {name for name, _ in pairs(self.given.get("layerPrecisions", ""))}
        if not names:
            return
        config.set_flag(self.trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        for layer in (network.get_layer(index) for index in range(network.num_layers)):
            if layer.name in names:
                layer.precision = self.trt.float32
                for index in range(layer.num_outputs):
                    layer.set_output_type(index, self.trt.float32)

    def _add_profile(self, builder: Any, config: Any) -> None:
        kinds = [dict(pairs(self.given.get(f"{kind}Shapes", ""))) for kind in ("min", "opt", "max")]
        if not kinds[0]:
            return
        profile = builder.create_optimization_profile()
        for name in kinds[0]:
            profile.set_shape(name, *(tuple(int(d) for d in kind[name].split("x")) for kind in kinds))
        if config.add_optimization_profile(profile) < 0:
            raise BuildFailedError("the shapes of the profile are refused")

    def _use_timings(self, config: Any) -> None:
        path, data = self.given.get("timingCacheFile", ""), b""
        if path and os.path.exists(path):
            with open(path, "rb") as file:
                data = file.read()
            say("I", f"Loaded {len(data)} bytes of timing cache from {path}")
        if path:
            config.set_timing_cache(config.create_timing_cache(data), False)

    def _keep_timings(self, config: Any) -> None:
        path, cache = self.given.get("timingCacheFile", ""), config.get_timing_cache()
        if path and cache is not None:
            write(path, bytes(cache.serialize()))

    def _tell_layers(self, blob: bytes) -> None:
        path = self.given.get("exportLayerInfo", "")
        engine = self.trt.Runtime(self.logger).deserialize_cuda_engine(blob) if path else None
        if engine is None:
            say("W", "the engine's layers can't be told")
            return
        told = engine.create_engine_inspector().get_engine_information(self.trt.LayerInformationFormat.JSON)
        write(path, told.encode())


def logger(trt: Any) -> Any:
    """TensorRT's messages as trtexec prints them, without the verbose ones."""
    levels = {"INTERNAL_ERROR": "E", "ERROR": "E", "WARNING": "W", "INFO": "I"}

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(str(severity).rpartition(".")[2])
            if level:
                say(level, f"[TRT] {message}")

    return Logger()


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of ``a:1x3,'b:0':fp32``."""
    for part in filter(None, text.split(",")):
        name, _, value = part.rpartition(":")
        yield name.strip("'"), value


def write(path: str, data: bytes) -> None:
    """Write a file; raise BuildFailedError when it can't be."""
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise BuildFailedError(f"{path}: {error.strerror}") from error
