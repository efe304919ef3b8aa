"""ONNX Runtime's C API through ctypes.

OrtApi is a table of function pointers to which members are only ever appended, so their indices are stable.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, NoReturn

from .failure import fail, text
from .job import DTYPES, Arm, Job, Tensor

NEEDED_API = 12  # ONNX Runtime 1.12
INDEX = {  # of each function in OrtApi; a test compares them with the C header
    "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
    "SetSessionGraphOptimizationLevel": 23, "SetIntraOpNumThreads": 24, "SessionGetInputCount": 30,
    "SessionGetOutputCount": 31, "SessionGetInputTypeInfo": 33, "SessionGetOutputTypeInfo": 34,
    "SessionGetInputName": 36, "SessionGetOutputName": 37, "CreateTensorWithDataAsOrtValue": 49,
    "GetTensorMutableData": 51, "CastTypeInfoToTensorInfo": 55, "GetTensorElementType": 60,
    "GetDimensionsCount": 61, "GetDimensions": 62, "GetTensorTypeAndShape": 65, "CreateCpuMemoryInfo": 69,
    "GetAllocatorWithDefaultOptions": 78, "ReleaseValue": 96, "CreateEnvWithGlobalThreadPools": 119,
    "DisablePerSessionThreads": 120, "CreateThreadingOptions": 121, "GetAvailableProviders": 125,
    "EnableProfiling": 14, "SessionEndProfiling": 110,
    "AddSessionConfigEntry": 130, "SetGlobalIntraOpNumThreads": 147, "SetGlobalInterOpNumThreads": 148,
    "SetGlobalSpinControl": 149, "SessionOptionsAppendExecutionProvider": 216,
}  # fmt: skip


def _flags(provider: bytes, settings: list[tuple[bytes, bytes]]) -> int:
    flags = 0
    for key, value in settings:
        if key != b"flags":
            fail("user_error", f"{text(provider)} has the option flags alone, and no {text(key)}")
        if not value.isdigit():
            fail("user_error", f"{text(provider)}: flags is a number, not {text(value)}")
        flags = int(value)
    return flags


class Runtime:
    """ONNX Runtime through its table of functions. Methods raise AgentFailureError with the runtime's own message."""

    def __init__(self, job: Job) -> None:
        self.job = job
        begin = time.monotonic_ns()
        self.library = self._load(job.library)
        base = self._base(self.library, job.library)
        self.version = text(ctypes.CFUNCTYPE(ctypes.c_char_p)(base[1])())
        table = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(base[0])(NEEDED_API)
        if not table:
            fail(
                "user_error",
                f"ONNX Runtime {self.version} is too old: "
                f"C API version {NEEDED_API} (ONNX Runtime 1.{NEEDED_API}) is needed",
            )
        self.table = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
        self.release = self.function("ReleaseValue", ctypes.c_void_p, returns=None)
        self.dlopen_ns = time.monotonic_ns() - begin

    @staticmethod
    def _load(path: bytes) -> Any:
        try:
            return ctypes.CDLL(os.fsdecode(path))
        except OSError as error:
            fail("device_error", f"the runtime library can't be loaded: {error}")

    @staticmethod
    def _base(library: Any, path: bytes) -> Any:
        try:
            get = library.OrtGetApiBase
        except AttributeError:
            fail("user_error", f"{text(path)}: is no ONNX Runtime library: it has no symbol OrtGetApiBase")
        get.restype = ctypes.POINTER(ctypes.c_void_p)
        return get()

    def function(self, name: str, *types: Any, returns: Any = ctypes.c_void_p) -> Any:
        """Return a function of ONNX Runtime's table of C functions, callable with arguments of ``types``."""
        return ctypes.CFUNCTYPE(returns, *types)(self.table[INDEX[name]])

    def call(self, name: str, *arguments: Any, kind: str = "device_error", doing: str = "") -> None:
        """Call a function that returns an OrtStatus. Integers are passed as size_t; bytes as char*."""
        passed = [
            ctypes.c_size_t(a) if isinstance(a, int) else ctypes.c_char_p(a) if isinstance(a, bytes) else a
            for a in arguments
        ]
        status = self.function(name, *map(type_of, passed))(*passed)
        if status:
            self.explain(status, kind, doing or name)

    def explain(self, status: int, kind: str, doing: str) -> NoReturn:
        """Fail with ONNX Runtime's own message of an OrtStatus."""
        message = self.function("GetErrorMessage", ctypes.c_void_p, returns=ctypes.c_char_p)(status)
        fail(kind, f"{doing}: {text(message)}")

    def create(self, name: str, *arguments: Any, **keywords: Any) -> ctypes.c_void_p:
        """Call a function whose last argument receives the new object."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made), **keywords)
        return made

    def create_environment(self) -> None:
        """Solo: a thread pool of the session's own, as an application gets; duet: one pool for both sessions."""
        error_level = ctypes.c_int(3)
        if len(self.job.arms) == 1:
            self.environment = self.create("CreateEnv", error_level, b"seatrial")
        else:
            pool = self.create("CreateThreadingOptions")
            self.call("SetGlobalIntraOpNumThreads", pool, ctypes.c_int(self.job.threads))
            self.call("SetGlobalInterOpNumThreads", pool, ctypes.c_int(1))
            self.call("SetGlobalSpinControl", pool, ctypes.c_int(self.job.spin))
            self.environment = self.create("CreateEnvWithGlobalThreadPools", error_level, b"seatrial", pool)
        self.host_memory = self.create("CreateCpuMemoryInfo", ctypes.c_int(1), ctypes.c_int(0))
        self.allocator = self.create("GetAllocatorWithDefaultOptions")

    def add_provider(self, options: ctypes.c_void_p, name: bytes, settings: list[tuple[bytes, bytes]]) -> None:
        """Append an execution provider; one that this build lacks, or an option it refuses, is a user_error."""
        names, count = ctypes.POINTER(ctypes.c_char_p)(), ctypes.c_int()
        self.call("GetAvailableProviders", ctypes.byref(names), ctypes.byref(count))
        known = [names[i] or b"" for i in range(count.value)]
        if name not in known:
            fail(
                "user_error",
                f"this ONNX Runtime {self.version} has no provider {text(name)}; it has: {', '.join(map(text, known))}",
            )
        if name == b"CPUExecutionProvider":
            return  # always there, as the last resort
        short = name.replace(b"ExecutionProvider", b"")
        if short in (b"Nnapi", b"ACL", b"ArmNN"):
            return self._add_by_symbol(options, name, short, settings)
        short = {b"Xnnpack": b"XNNPACK", b"Azure": b"AZURE"}.get(short, short)
        keys = (ctypes.c_char_p * len(settings))(*[key for key, _ in settings])
        values = (ctypes.c_char_p * len(settings))(*[value for _, value in settings])
        call = ("SessionOptionsAppendExecutionProvider", options, short, keys, values, len(settings))
        self.call(*call, kind="user_error", doing=text(name))

    def _add_by_symbol(
        self, options: ctypes.c_void_p, name: bytes, short: bytes, settings: list[tuple[bytes, bytes]]
    ) -> None:
        """Older providers have no options by name: each is a function that the library exports where it has them.

        What can be set of them is one number, `flags` (NNAPI's: 1 FP16, 2 NCHW, 4 no CPU of its own, 8 its CPU alone).
        """
        symbol = f"OrtSessionOptionsAppendExecutionProvider_{text(short)}"
        try:
            append = getattr(self.library, symbol)
        except AttributeError:
            fail("user_error", f"{text(short)}: this ONNX Runtime has it, but does not export {symbol}")
        append.restype, append.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_uint32]
        if status := append(options, _flags(name, settings)):
            self.explain(status, "user_error", text(short))

    def session_options(self, arm: Arm) -> ctypes.c_void_p:
        """Return new session options of one arm: threads, optimization, config entries, providers."""
        options = self.create("CreateSessionOptions")
        self.call("SetSessionGraphOptimizationLevel", options, ctypes.c_int(arm.optimization))
        config = list(arm.config)
        if len(self.job.arms) > 1:
            self.call("DisablePerSessionThreads", options)
        else:
            self.call("SetIntraOpNumThreads", options, ctypes.c_int(self.job.threads))
            config.insert(0, (b"session.intra_op.allow_spinning", b"1" if self.job.spin else b"0"))
        if is_ort_format(arm.model):
            config.insert(0, (b"session.load_model_format", b"ORT"))
        for key, value in config:
            self.call("AddSessionConfigEntry", options, key, value, kind="user_error", doing=text(key))
        for name, settings in arm.providers:
            self.add_provider(options, name, settings)
        if self.job.mode == b"profile":
            self.call("EnableProfiling", options, b"profile")
        return options

    def create_session(self, arm: Arm) -> None:
        """Load the arm's model; ``arm.session_ns`` is what that alone took."""
        options = self.session_options(arm)
        begin = time.monotonic_ns()
        arm.session = self.create(
            "CreateSession", self.environment, arm.model, options, kind="user_error", doing="the model can't be loaded"
        )
        arm.session_ns = time.monotonic_ns() - begin

    def bind(self, arm: Arm) -> None:
        """Match the model's inputs and outputs with the job's and make ``arm.run`` one bare call of Run."""
        self._match(arm, "input", arm.inputs)
        self._match(arm, "output", arm.outputs)
        values = (ctypes.c_void_p * len(arm.inputs))(*[self._wrap(t).value for t in arm.inputs])
        arm.values = (ctypes.c_void_p * len(arm.outputs))()
        p, n = ctypes.c_void_p, ctypes.c_size_t
        run = self.function("Run", p, p, p, p, n, p, n, p)
        given = (
            arm.session,
            None,
            char_array(arm.inputs),
            values,
            n(len(values)),
            char_array(arm.outputs),
            n(len(arm.values)),
            arm.values,
        )
        arm.run = lambda: run(*given)

    def _wrap(self, tensor: Tensor) -> ctypes.c_void_p:
        data = tensor.data if tensor.data is not None else memoryview(b"")
        address = ctypes.addressof(ctypes.c_char.from_buffer(data.obj))
        shape = (ctypes.c_int64 * len(tensor.shape))(*tensor.shape)
        return self.create(
            "CreateTensorWithDataAsOrtValue",
            self.host_memory,
            ctypes.c_void_p(address),
            len(data),
            shape,
            len(shape),
            ctypes.c_int(tensor.onnx),
        )

    def _match(self, arm: Arm, what: str, given: list[Tensor]) -> None:
        count = ctypes.c_size_t()
        self.call(f"SessionGet{what.title()}Count", arm.session, ctypes.byref(count))
        missing = {tensor.name: tensor for tensor in given}
        for index in range(count.value):
            raw = self.create(f"SessionGet{what.title()}Name", arm.session, index, self.allocator)
            name = ctypes.string_at(raw.value or 0)
            info = self.create(
                "CastTypeInfoToTensorInfo", self.create(f"SessionGet{what.title()}TypeInfo", arm.session, index)
            )
            if not info:
                fail("user_error", f"the model's {what} {text(name)!r} is not a tensor")
            self._match_one(what, name, missing.pop(name, None), *self.dtype_and_shape(info))
        for name in missing:
            fail("user_error", f"the bundle has an {what} '{text(name)}' that the model lacks")

    @staticmethod
    def _match_one(what: str, name: bytes, tensor: Tensor | None, onnx: int, shape: tuple[int, ...]) -> None:
        dtype = next((text(key) for key, value in DTYPES.items() if value[1] == onnx), "an unsupported dtype")
        shown = "(" + ", ".join("?" if d < 0 else str(d) for d in shape) + ")"
        if tensor is None:
            fail(
                "user_error",
                f"the model has an {what} '{text(name)}' ({dtype} {shown}) that the bundle lacks; "
                "export the bundle again",
            )
        if tensor.onnx != onnx:
            fail("user_error", f"the model's {what} '{text(name)}' is {dtype}, the bundle's is {text(tensor.dtype)}")
        if not fits(shape, tensor):
            fail("user_error", f"the model's {what} '{text(name)}' has shape {shown}, the bundle's {tensor.shape}")

    def dtype_and_shape(self, info: ctypes.c_void_p) -> tuple[int, tuple[int, ...]]:
        """Return the ONNX element type and the shape of a tensor; dimensions that vary are -1."""
        element, rank = ctypes.c_int(), ctypes.c_size_t()
        self.call("GetTensorElementType", info, ctypes.byref(element))
        self.call("GetDimensionsCount", info, ctypes.byref(rank))
        shape = (ctypes.c_int64 * rank.value)()
        self.call("GetDimensions", info, shape, rank.value)
        return element.value, tuple(shape)

    def output(self, arm: Arm, index: int) -> bytes:
        """Return the bytes of one output; raise AgentFailureError when its dtype or shape is not the golden one's."""
        tensor, value = arm.outputs[index], ctypes.c_void_p(arm.values[index])
        onnx, shape = self.dtype_and_shape(self.create("GetTensorTypeAndShape", value))
        if onnx != tensor.onnx or not fits(shape, tensor):
            fail(
                "device_error",
                f"output '{text(tensor.name)}' came out with shape {shape}; the golden one has {tensor.shape}",
            )
        return ctypes.string_at(self.create("GetTensorMutableData", value).value or 0, tensor.count * tensor.size)

    def prepare_timing(self, arm: Arm) -> None:
        """Nothing: what was bound is what is timed."""

    def engine_memory(self) -> dict[str, int]:
        """Nothing: all that ONNX Runtime takes is in the figures of the process."""
        return {}

    def infer(self, arm: Arm) -> None:
        """One inference, untimed; its outputs stay until `drop`."""
        status = arm.run()
        if status:
            self.explain(status, "device_error", "the inference failed")

    def end_profiling(self, arm: Arm) -> bytes:
        """End the profiling of a session; return the name of the file that it wrote."""
        return ctypes.string_at(self.create("SessionEndProfiling", arm.session, self.allocator).value or 0)

    def drop(self, arm: Arm) -> None:
        """Release the outputs of the last inference."""
        for index, value in enumerate(arm.values):
            self.release(value)
            arm.values[index] = None


def type_of(argument: Any) -> Any:
    """Return the ctypes type to declare for ``argument``; arrays and references go as plain pointers."""
    scalar = isinstance(argument, (ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p))
    return type(argument) if scalar else ctypes.c_void_p


def fits(model: tuple[int, ...], tensor: Tensor) -> bool:
    """Return whether ``tensor`` has the model's shape, whose negative dimensions take any length."""
    return len(model) == len(tensor.shape) and all(m < 0 or m == t for m, t in zip(model, tensor.shape))


def char_array(tensors: list[Tensor]) -> Any:
    """Return the tensors' names as a C array of char*."""
    return (ctypes.c_char_p * len(tensors))(*[tensor.name for tensor in tensors])


def is_ort_format(path: bytes) -> bool:
    """Return whether the file is a model of ONNX Runtime's own format, by its identifier 'ORTM' at byte 4."""
    try:
        with open(path, "rb") as file:
            return file.read(8)[4:] == b"ORTM"
    except OSError as error:
        fail("device_error", f"model {text(path)}: {error.strerror}")
