"""What we need of CUDA, by whichever way the device has: libcudart itself, or the packages cuda-python or pycuda.

libcudart through ctypes comes first: it is on every device that has TensorRT, and nothing has to be installed. All
methods raise AgentFailureError with CUDA's own words; handles are integers.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn

from .failure import fail

TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
SPIN, BLOCKING = 1, 4  # cudaDeviceSchedule...
_BLOCKING_SYNC = 1  # cudaEventBlockingSync
_NON_BLOCKING = 1  # cudaStreamNonBlocking
_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal
_ATTRIBUTES = (75, 76, 16)  # cudaDevAttrComputeCapabilityMajor, ...Minor, cudaDevAttrMultiProcessorCount
_PLACES = (
    "/usr/local/cuda/lib64/libcudart.so",
    "/usr/local/cuda/targets/aarch64-linux/lib/libcudart.so",
    "/usr/local/cuda-1[1-9]*/lib64/libcudart.so.*",
    "/usr/lib/aarch64-linux-gnu/libcudart.so.*",
    "/usr/lib/*/libcudart.so.*",
)
_NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")


class Cuda(ABC):
    """A way to CUDA. Sizes are in bytes; handles are integers that stay valid as long as the process."""

    graphs: bool
    name: str
    version: str
    path: str  # of the library, where one was opened by its path

    @abstractmethod
    def device(self) -> dict[str, Any]:
        """Return the GPU's name, compute capability and number of multiprocessors."""

    @abstractmethod
    def schedule(self, flags: int) -> None:
        """Choose how the CPU waits for the GPU: SPIN or BLOCKING. Before anything else that needs the GPU."""

    @abstractmethod
    def device_memory(self, size: int) -> int:
        """Return the address of new memory on the GPU, of one byte at least."""

    @abstractmethod
    def host_memory(self, size: int) -> int:
        """Return the address of new pinned memory: the GPU copies from it without the CPU's help."""

    @abstractmethod
    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        """Queue a copy TO_DEVICE or TO_HOST; the memory of the host is one that `host_memory` made."""

    @abstractmethod
    def stream(self) -> int:
        """Return a new stream that does not wait for the default one."""

    @abstractmethod
    def synchronize(self, stream: int) -> None:
        """Wait until all that was queued in the stream is done."""

    @abstractmethod
    def event(self, blocking: bool) -> int:
        """Return a new event that keeps its time; who waits for a ``blocking`` one sleeps instead of spinning."""

    @abstractmethod
    def record(self, event: int, stream: int) -> None:
        """Queue the event: its time is when the GPU gets there."""

    @abstractmethod
    def elapsed_ms(self, start: int, end: int) -> float:
        """Return the time between two events that have passed, in ms of the GPU's clock."""

    @abstractmethod
    def bound(self, method: str, *handles: int) -> Callable[[], int]:
        """Return ``method`` with its handles as one call that costs little and returns CUDA's error, or 0."""

    def begin_capture(self, stream: int) -> None:
        """From now on what is queued in the stream is only noted; where ``graphs`` is true."""
        fail("device_error", f"{self.name} captures no graphs")

    def end_capture(self, stream: int) -> int:
        """Return what was noted as a graph that can be launched."""
        fail("device_error", f"{self.name} captures no graphs")

    def launch(self, graph: int, stream: int) -> None:
        """Queue a whole graph."""
        fail("device_error", f"{self.name} captures no graphs")


class Cudart(Cuda):
    """libcudart by ctypes."""

    graphs = True

    def __init__(self, library: Any, path: str) -> None:
        self.library, self.name = library, "libcudart"
        self.call("cudaGetDeviceCount", ctypes.byref(ctypes.c_int()), doing="no GPU can be used")
        version = ctypes.c_int()
        self.call("cudaRuntimeGetVersion", ctypes.byref(version))
        self.version = f"{version.value // 1000}.{version.value % 1000 // 10}"
        self.path = path

    def call(self, name: str, *arguments: Any, doing: str = "") -> None:
        """Call a function of libcudart; ``doing`` is what its error is told of, instead of its name."""
        code = getattr(self.library, name)(*arguments)
        if code:
            self.library.cudaGetErrorString.restype = ctypes.c_char_p
            words = (self.library.cudaGetErrorString(code) or b"?").decode("utf-8", "replace")
            fail("device_error", f"{doing or name}: CUDA error {code}: {words}")

    def _made(self, name: str, *arguments: Any) -> int:
        handle = ctypes.c_void_p()
        self.call(name, ctypes.byref(handle), *arguments)
        return handle.value or 0

    def device(self) -> dict[str, Any]:
        found = ctypes.create_string_buffer(16384)  # cudaDeviceProp: its size varies, its name comes first
        self.call("cudaGetDeviceProperties", found, ctypes.c_int(0))
        major, minor, sms = (self._attribute(number) for number in _ATTRIBUTES)
        return {"gpu": found.value.decode("utf-8", "replace"), "capability": f"{major}.{minor}", "sms": sms}

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self.call("cudaDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), ctypes.c_int(0))
        return value.value

    def schedule(self, flags: int) -> None:
        self.call("cudaSetDeviceFlags", ctypes.c_uint(flags))

    def device_memory(self, size: int) -> int:
        return self._made("cudaMalloc", ctypes.c_size_t(max(1, size)))

    def host_memory(self, size: int) -> int:
        return self._made("cudaHostAlloc", ctypes.c_size_t(max(1, size)), ctypes.c_uint(0))

    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        self.call(
            "cudaMemcpyAsync", *_pointers(to, source), ctypes.c_size_t(size), ctypes.c_int(kind), *_pointers(stream)
        )

    def stream(self) -> int:
        return self._made("cudaStreamCreateWithFlags", ctypes.c_uint(_NON_BLOCKING))

    def synchronize(self, stream: int) -> None:
        self.call("cudaStreamSynchronize", *_pointers(stream))

    def event(self, blocking: bool) -> int:
        return self._made("cudaEventCreateWithFlags", ctypes.c_uint(_BLOCKING_SYNC if blocking else 0))

    def record(self, event: int, stream: int) -> None:
        self.call("cudaEventRecord", *_pointers(event, stream))

    def elapsed_ms(self, start: int, end: int) -> float:
        took = ctypes.c_float()
        self.call("cudaEventElapsedTime", ctypes.byref(took), *_pointers(start, end))
        return took.value

    def begin_capture(self, stream: int) -> None:
        self.call("cudaStreamBeginCapture", *_pointers(stream), ctypes.c_int(_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        graph = ctypes.c_void_p()
        self.call("cudaStreamEndCapture", *_pointers(stream), ctypes.byref(graph))
        # The one with this name has had the same arguments from 11.4 to 13; cudaGraphInstantiate has not.
        return self._made("cudaGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0))

    def launch(self, graph: int, stream: int) -> None:
        self.call("cudaGraphLaunch", *_pointers(graph, stream))

    def bound(self, method: str, *handles: int) -> Callable[[], int]:
        names = {"record": "cudaEventRecord", "launch": "cudaGraphLaunch", "synchronize": "cudaStreamSynchronize"}
        return functools.partial(getattr(self.library, names[method]), *_pointers(*handles))


class CudaPython(Cuda):
    """The package cuda-python (cuda.bindings), whose functions return their error first."""

    graphs = True

    def __init__(self, runtime: Any) -> None:
        self.runtime, self.name, self.path = runtime, "cuda-python", ""
        self.call("cudaGetDeviceCount", doing="no GPU can be used")
        version = int(self.call("cudaRuntimeGetVersion"))
        self.version = f"{version // 1000}.{version % 1000 // 10}"

    def call(self, name: str, *arguments: Any, doing: str = "") -> Any:
        """Call a function of cuda-python, return its one value or None; ``doing`` as in `Cudart.call`."""
        code, *values = getattr(self.runtime, name)(*arguments)
        if int(code):
            _, words = self.runtime.cudaGetErrorString(code)
            text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
            fail("device_error", f"{doing or name}: CUDA error {int(code)}: {text}")
        return values[0] if values else None

    def device(self) -> dict[str, Any]:
        found = self.call("cudaGetDeviceProperties", 0)
        name = found.name.decode("utf-8", "replace") if isinstance(found.name, bytes) else str(found.name)
        return {
            "gpu": name.rstrip("\0"),
            "capability": f"{found.major}.{found.minor}",
            "sms": found.multiProcessorCount,
        }

    def schedule(self, flags: int) -> None:
        self.call("cudaSetDeviceFlags", flags)

    def device_memory(self, size: int) -> int:
        return int(self.call("cudaMalloc", max(1, size)))

    def host_memory(self, size: int) -> int:
        return int(self.call("cudaHostAlloc", max(1, size), 0))

    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        self.call("cudaMemcpyAsync", to, source, size, self.runtime.cudaMemcpyKind(kind), stream)

    def stream(self) -> int:
        return int(self.call("cudaStreamCreateWithFlags", _NON_BLOCKING))

    def synchronize(self, stream: int) -> None:
        self.call("cudaStreamSynchronize", stream)

    def event(self, blocking: bool) -> int:
        return int(self.call("cudaEventCreateWithFlags", _BLOCKING_SYNC if blocking else 0))

    def record(self, event: int, stream: int) -> None:
        self.call("cudaEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        return float(self.call("cudaEventElapsedTime", start, end))

    def begin_capture(self, stream: int) -> None:
        self.call("cudaStreamBeginCapture", stream, self.runtime.cudaStreamCaptureMode(_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        graph = self.call("cudaStreamEndCapture", stream)
        return int(self.call("cudaGraphInstantiateWithFlags", graph, 0))

    def launch(self, graph: int, stream: int) -> None:
        self.call("cudaGraphLaunch", graph, stream)

    def bound(self, method: str, *handles: int) -> Callable[[], int]:
        return _quietly(getattr(self, method), handles)


class PyCuda(Cuda):
    """The package pycuda. It captures no graphs that all of its versions have, so queries are launched one by one."""

    graphs = False

    def __init__(self, driver: Any) -> None:
        self.driver, self.name, self.path = driver, "pycuda", ""
        self.kept: dict[int, Any] = {}  # what would be freed when nobody holds it
        try:
            driver.init()
            self.context = driver.Device(0).make_context()
        except driver.Error as error:
            fail("device_error", f"no GPU can be used: {error}")
        major, minor, *_ = driver.get_version()
        self.version = f"{major}.{minor}"

    def device(self) -> dict[str, Any]:
        device = self.context.get_device()
        major, minor = device.compute_capability()
        sms = device.get_attribute(self.driver.device_attribute.MULTIPROCESSOR_COUNT)
        return {"gpu": device.name(), "capability": f"{major}.{minor}", "sms": sms}

    def schedule(self, flags: int) -> None:
        """A context of pycuda has its way of waiting from its making: spinning, where there are CPUs enough."""

    def _keep(self, handle: int, thing: Any) -> int:
        self.kept[handle] = thing
        return handle

    def device_memory(self, size: int) -> int:
        memory = self.driver.mem_alloc(max(1, size))
        return self._keep(int(memory), memory)

    def host_memory(self, size: int) -> int:
        import numpy

        array = self.driver.pagelocked_empty(max(1, size), numpy.uint8)
        return self._keep(int(array.ctypes.data), array)

    def copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        if kind == TO_DEVICE:
            self.driver.memcpy_htod_async(to, self.kept[source][:size], self.kept[stream])
        else:
            self.driver.memcpy_dtoh_async(self.kept[to][:size], source, self.kept[stream])

    def stream(self) -> int:
        stream = self.driver.Stream()
        return self._keep(int(stream.handle), stream)

    def synchronize(self, stream: int) -> None:
        self.kept[stream].synchronize()

    def event(self, blocking: bool) -> int:
        event = self.driver.Event(self.driver.event_flags.BLOCKING_SYNC if blocking else 0)
        return self._keep(id(event), event)

    def record(self, event: int, stream: int) -> None:
        self.kept[event].record(self.kept[stream])

    def elapsed_ms(self, start: int, end: int) -> float:
        return float(self.kept[end].time_since(self.kept[start]))

    def bound(self, method: str, *handles: int) -> Callable[[], int]:
        return _quietly(getattr(self, method), handles)


def _quietly(call: Callable[..., None], handles: tuple[int, ...]) -> Callable[[], int]:
    def bound() -> int:
        call(*handles)
        return 0

    return bound


def _pointers(*handles: int) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(handle) for handle in handles]


def open_cuda(wanted: str) -> Cuda:
    """Return the way to CUDA: ``wanted`` is a path of libcudart, "cuda-python", "pycuda", or "auto" for the first."""
    if wanted not in ("auto", "cuda-python", "pycuda"):
        return Cudart(ctypes.CDLL(os.fspath(wanted)), wanted) if os.path.exists(wanted) else _absent(wanted)
    for way in {"auto": (_cudart, _cuda_python, _pycuda), "cuda-python": (_cuda_python,), "pycuda": (_pycuda,)}[wanted]:
        found = way()
        if found is not None:
            return found
    fail("device_error", f"no way to CUDA ({wanted}): there is no libcudart.so, no package cuda-python, no pycuda")


def _absent(path: str) -> NoReturn:
    fail("device_error", f"there is no {path}, which was to be libcudart")


def _cudart() -> Cuda | None:
    candidates = [*_NAMES, *(path for pattern in _PLACES for path in sorted(glob.glob(pattern)))]
    for candidate in candidates:
        try:
            library = ctypes.CDLL(candidate)
        except OSError:
            continue
        return Cudart(library, candidate)
    return None


def _cuda_python() -> Cuda | None:
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime  # before 12.6
        except ImportError:
            return None
    return CudaPython(runtime)


def _pycuda() -> Cuda | None:
    try:
        import pycuda.driver
    except ImportError:
        return None
    return PyCuda(pycuda.driver)
