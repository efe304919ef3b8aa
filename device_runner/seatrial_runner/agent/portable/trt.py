"""TensorRT's Python API, 8.5 to 11: an engine, its buffers, and one bare call per inference."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any, NoReturn

from .cuda import BLOCKING, SPIN, TO_DEVICE, TO_HOST, open_cuda
from .failure import AgentFailureError, fail, text
from .files import read_file
from .job import Arm, Job, Tensor

NEEDED = (8, 5)  # the first with execute_async_v3
# str(trt.DataType) -> numpy's name
DTYPES = {
    "FLOAT": b"float32", "HALF": b"float16", "INT8": b"int8", "INT32": b"int32", "INT64": b"int64", "BOOL": b"bool",
    "UINT8": b"uint8",
}  # fmt: skip
_MOST_ENGINE = 1 << 34


def identity(library: bytes) -> dict[str, Any]:
    """Return what the device has: the versions of TensorRT and CUDA, the GPU, and what is no real thing.

    Run in a process of its own: TensorRT without a driver may die rather than raise.
    """
    tensorrt = imported()
    cuda = open_cuda(text(library))
    stamp = str(getattr(tensorrt, "SEATRIAL_STAND_IN", ""))
    told = {"tensorrt": str(tensorrt.__version__), "cuda": f"{cuda.name} {cuda.version}", "stamp": stamp}
    return {**told, **cuda.device()}


def numbers(tensorrt: Any) -> tuple[int, ...]:
    """Major and minor of the package's version."""
    return tuple(int(part) for part in str(tensorrt.__version__).split(".")[:2])


def imported() -> Any:
    """Return the package tensorrt; without one it is a device_error."""
    try:
        import tensorrt
    except ImportError as error:
        fail("device_error", f"the package tensorrt can't be imported: {error}")
    return tensorrt


class Runtime:
    """TensorRT through its Python package; the same methods as `runtime.Runtime`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        begin = time.monotonic_ns()
        self.trt = imported()
        self.version = str(self.trt.__version__)
        self.stamp = str(getattr(self.trt, "SEATRIAL_STAND_IN", ""))
        if numbers(self.trt) < NEEDED:
            fail("user_error", f"TensorRT {self.version} is too old: 8.5 is needed; trtexec runs with it")
        self.cuda = open_cuda(text(job.library))
        self.dlopen_ns = time.monotonic_ns() - begin
        self.effective: dict[str, str] = {"CUDA by": f"{self.cuda.name} {self.cuda.version}"}
        self.engine_bytes = self.scratch_bytes = 0

    def create_environment(self) -> None:
        """One stream for all engines: their inferences take turns, as they do in a duet."""
        self.cuda.schedule(SPIN if self.job.spin else BLOCKING)
        self.words = Words(self.trt)
        self.trt.init_libnvinfer_plugins(self.words.logger, "")
        self.loader = self.trt.Runtime(self.words.logger)
        self.stream = self.cuda.stream()
        self.effective["Spin-wait"] = "Enabled" if self.job.spin else "Disabled"

    def create_session(self, arm: Arm) -> None:
        """Load the engine and make its context."""
        begin = time.monotonic_ns()
        blob = read_file(arm.model, _MOST_ENGINE)
        engine = self.loader.deserialize_cuda_engine(blob)
        if engine is None:
            fail("user_error", f"the engine can't be loaded: {self.words.last()}")
        context = engine.create_execution_context()
        if context is None:
            fail("device_error", f"the engine has no context: {self.words.last()}")
        arm.session = Session(engine, context)
        arm.session_ns = time.monotonic_ns() - begin
        self.engine_bytes = len(blob)
        scratch = getattr(engine, "device_memory_size_v2", None)
        self.scratch_bytes = int(getattr(engine, "device_memory_size", 0) if scratch is None else scratch)

    def bind(self, arm: Arm) -> None:
        """Give inputs and outputs their places, bring the inputs there, and make ``arm.run`` one inference."""
        session = arm.session
        names = [session.engine.get_tensor_name(index) for index in range(session.engine.num_io_tensors)]
        inputs = [name for name in names if session.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT]
        given = self._matched("input", inputs, arm.inputs, session.engine)
        wanted = self._matched("output", [name for name in names if name not in inputs], arm.outputs, session.engine)
        for name, tensor in given.items():
            if not session.context.set_input_shape(name, tensor.shape):
                fail(
                    "user_error",
                    f"input '{name}': {tensor.shape} is outside of the engine's shapes; {self.words.last()}",
                )
        session.inputs = [self._input(session, name, tensor) for name, tensor in given.items()]
        session.outputs = [self._output(session, name, wanted[name]) for name in wanted]
        arm.values = {place.name: place for place in session.outputs}
        session.events = (self.cuda.event(not self.job.spin), self.cuda.event(not self.job.spin))
        arm.run = self._query(session, self._enqueue(session), transfers=True)

    def prepare_timing(self, arm: Arm) -> None:
        """From here on, inferences are what the job wants timed: as a CUDA graph, with or without transfers."""
        session, options = arm.session, dict(arm.config)
        graph, transfers = options.get(b"cuda_graph", b"1") == b"1", options.get(b"transfers", b"0") == b"1"
        launch = self._captured(session) if graph else None
        self.effective["CUDA Graph"] = "Enabled" if launch else "Disabled" + " (could not be captured)" * graph
        self.effective["Data transfers"] = "Enabled" if transfers else "Disabled"
        arm.run = self._query(session, launch or self._enqueue(session), transfers)

    def _captured(self, session: Session) -> Callable[[], int] | None:
        """An inference was made before, as a capture needs; what can't be captured is launched kernel by kernel."""
        if not self.cuda.graphs:
            return None
        self.cuda.begin_capture(self.stream)
        enqueued = session.context.execute_async_v3(self.stream)
        try:
            graph = self.cuda.end_capture(self.stream)
        except AgentFailureError:
            return None
        return self.cuda.bound("launch", graph, self.stream) if enqueued and graph else None

    def _query(self, session: Session, launch: Callable[[], int], transfers: bool = False) -> Callable[[], int]:
        """Return one inference as a call: what it returns is an error, or 0."""
        start, end = (self.cuda.bound("record", event, self.stream) for event in session.events)
        wait = self.cuda.bound("synchronize", self.stream)

        def run() -> int:
            return start() or launch() or end() or wait()

        def run_with_transfers() -> int:
            self._bring(session)
            failed = start() or launch() or end()
            self._fetch(session)
            return failed or wait()

        return run_with_transfers if transfers else run

    def _enqueue(self, session: Session) -> Callable[[], int]:
        enqueue, stream = session.context.execute_async_v3, self.stream
        return lambda: 0 if enqueue(stream) else -1

    def engine_memory(self) -> dict[str, int]:
        """Return what the engine says of itself, in bytes."""
        return {"engine_bytes": self.engine_bytes, "scratch_bytes": self.scratch_bytes}

    def infer(self, arm: Arm) -> None:
        """One inference, untimed."""
        status = arm.run()
        if status:
            self.explain(status, "device_error", "the inference failed")

    def drop(self, arm: Arm) -> None:
        """Note what the GPU's events told of the last inference; its outputs stay where they are."""
        arm.last_gpu_ns = round(self.cuda.elapsed_ms(*arm.session.events) * 1e6)

    def output(self, arm: Arm, index: int) -> bytes:
        """Return the bytes of one output of the last inference."""
        place = arm.values[text(arm.outputs[index].name)]
        self.cuda.copy(place.host, place.device, place.size, TO_HOST, self.stream)
        self.cuda.synchronize(self.stream)
        return ctypes.string_at(place.host, place.size)

    def explain(self, status: int, kind: str, doing: str) -> NoReturn:
        """Fail with CUDA's error, where ``status`` is one, or else with TensorRT's last words."""
        fail(kind, f"{doing}: {f'CUDA error {status}' if status > 0 else self.words.last()}")

    def _matched(self, what: str, names: list[str], given: list[Tensor], engine: Any) -> dict[str, Tensor]:
        known = {text(tensor.name): tensor for tensor in given}
        for name in names:
            if name not in known:
                fail("user_error", f"the engine has an {what} '{name}' that the bundle lacks; export the bundle again")
        for name, tensor in known.items():
            if name not in names:
                fail("user_error", f"the bundle has an {what} '{name}' that the engine lacks")
            dtype = DTYPES.get(str(engine.get_tensor_dtype(name)).rpartition(".")[2])
            if dtype != tensor.dtype:
                told = text(dtype) if dtype else str(engine.get_tensor_dtype(name))
                fail("user_error", f"the engine's {what} '{name}' is {told}, the bundle's is {text(tensor.dtype)}")
        return {name: known[name] for name in names}

    def _input(self, session: Session, name: str, tensor: Tensor) -> Place:
        place = self._place(session, name, tensor)
        data = bytes(tensor.data) if tensor.data is not None else b""
        # From now on the tensor is the pinned memory: mode evaluate writes its samples there.
        tensor.data = memoryview((ctypes.c_ubyte * place.size).from_address(place.host)).cast("B")
        tensor.data[: len(data)] = data
        return place

    def _output(self, session: Session, name: str, tensor: Tensor) -> Place:
        shape = tuple(session.context.get_tensor_shape(name))
        if shape != tensor.shape:
            fail("device_error", f"output '{name}' comes out with shape {shape}; the golden one has {tensor.shape}")
        return self._place(session, name, tensor)

    def _place(self, session: Session, name: str, tensor: Tensor) -> Place:
        size = tensor.count * tensor.size
        place = Place(name, size, self.cuda.host_memory(size), self.cuda.device_memory(size))
        if not session.context.set_tensor_address(name, place.device):
            fail("device_error", f"tensor '{name}' was given no place: {self.words.last()}")
        return place

    def _bring(self, session: Session) -> None:
        for place in session.inputs:
            self.cuda.copy(place.device, place.host, place.size, TO_DEVICE, self.stream)

    def _fetch(self, session: Session) -> None:
        for place in session.outputs:
            self.cuda.copy(place.host, place.device, place.size, TO_HOST, self.stream)


class Place:
    """Where one tensor lies: pinned memory of the host, memory of the GPU."""

    def __init__(self, name: str, size: int, host: int, device: int) -> None:
        self.name, self.size, self.host, self.device = name, size, host, device


class Session:
    """One engine with its context, its buffers, and the events around an inference."""

    def __init__(self, engine: Any, context: Any) -> None:
        self.engine, self.context = engine, context
        self.inputs: list[Place] = []
        self.outputs: list[Place] = []
        self.events: tuple[int, int] = (0, 0)


class Words:
    """TensorRT's errors and warnings, kept for our own messages."""

    def __init__(self, trt: Any) -> None:
        said: list[str] = []

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if str(severity).rpartition(".")[2] in ("INTERNAL_ERROR", "ERROR"):
                    said.append(str(message))

        self.said, self.logger = said, Logger()

    def last(self) -> str:
        """Return the last errors, or that there were none."""
        return "; ".join(self.said[-2:])[:1000] or "TensorRT said nothing of why"
