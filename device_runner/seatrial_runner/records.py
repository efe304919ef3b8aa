"""What was measured, as it is kept: raw, in ns and bytes, immutable. Statistics are computed from it on read.

History of the format of trial.json (key ``schema``):
- ``seatrial.trial/1``: first. Since then, each with a default: bundles have gained ``toolchain`` and
  ``runtime_settings``; runs of a GPU the times of its parts, ``effective``, ``warnings`` and ``stamp``; trials
  ``builds`` and ``preparation``; runs the kinds profile, cold, sustained and evaluate, ``before``, ``after``,
  ``others_load``, ``page_cache`` and ``power``; arms ``at_ns``, ``stride``, ``inferences`` and ``layers``; results
  ``sensors`` and ``cpu_total_ns``; memory, states and meters more of the same.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from seatrial_targets.errors import Status

from .traces import (
    Bytes,
    Channel,
    EnergySample,
    EnergyWindows,
    LayerProfile,
    LayerTime,
    MeterInfo,
    Nanoseconds,
    PowerTrace,
    Prepared,
    Record,
    SensorTrace,
    Text,
)

__all__ = [
    "AgentFailure",
    "AgentResult",
    "AppleFacts",
    "AppleIdentity",
    "AppleMoment",
    "ArmName",
    "ArmResult",
    "Build",
    "BundleInfo",
    "BundleName",
    "Bytes",
    "Channel",
    "DeviceInfo",
    "DeviceState",
    "EnergySample",
    "EnergyWindows",
    "Evaluated",
    "Evicted",
    "LayerProfile",
    "LayerTime",
    "Memory",
    "MeterInfo",
    "Nanoseconds",
    "OutputCheck",
    "Placed",
    "PowerTrace",
    "Prepared",
    "Record",
    "Run",
    "RunKind",
    "SensorTrace",
    "Text",
    "Trial",
    "agent_arm",
]

TRIAL_SCHEMA: Literal["seatrial.trial/1"] = "seatrial.trial/1"


class OutputCheck(Record):
    """One output on the device against its golden value, before any timing."""

    name: Text
    rel_l2: float  # ||out - golden|| / ||golden||; inf when the golden norm is 0 and the output's is not
    max_abs: float
    nonfinite: int  # NaN and infinite elements where the golden value is finite
    argmax_equal: bool
    tolerance: float
    ok: bool


class Memory(Record):
    """Peaks of the agent's own process, in bytes; None where the kernel does not tell.

    A GPU that shares the machine's memory is not in the figures of a process: there, ``system_peak_delta`` is how far
    the whole machine's use rose above what it was before, and the rest is what the engine says of itself.
    ``measure`` is what the peaks of the process are of: VmHWM (resident set) on Linux, phys_footprint on Apple systems.
    ``rss``, ``pss`` and ``swapped`` are of the moment after the inferences. ``cgroup_peak`` is of the control group
    that the agent runs in, with whatever else does.
    """

    measure: Text = "VmHWM"
    baseline_rss: Bytes | None = None  # before the library is loaded
    peak_load: Bytes | None = None  # VmHWM after library, session and first inference
    peak_inference: Bytes | None = None  # VmHWM over the inferences alone, after it was reset
    pss: Bytes | None = None  # after the inferences
    hwm_reset: bool  # False: the kernel refused the reset, so peak_inference includes the load
    system_peak_delta: Bytes | None = None  # highest MemTotal - MemAvailable, less what it was before the process began
    engine_bytes: Bytes | None = None  # the serialized engine
    scratch_bytes: Bytes | None = None  # what the engine's context wants on the GPU for activations
    rss: Bytes | None = None
    swapped: Bytes | None = None  # VmSwap: what of it was no longer in memory
    cgroup_peak: Bytes | None = None


class ArmResult(Record):
    """What the agent measured of one model. Samples are in the order in which they were taken.

    ``wall_ns`` is by the host's clock, from the call to its end; or, where only the GPU's own events tell (agent
    trtexec), the sum of its parts as far as they are switched on. The parts are empty where nobody told them.
    ``at_ns`` is when each sample began (CLOCK_MONOTONIC); only sustained runs have it, which keep one of ``stride``.
    """

    session_ns: Nanoseconds  # CreateSession; Core ML: loading the compiled model
    compile_ns: Nanoseconds | None = None  # Core ML: compiling the package on the device
    first_ns: Nanoseconds  # first inference
    warmup_iterations: int
    checks: tuple[OutputCheck, ...]
    wall_ns: tuple[Nanoseconds, ...] = ()
    cpu_ns: tuple[Nanoseconds, ...] = ()
    gpu_ns: tuple[Nanoseconds, ...] = ()  # the kernels of one inference, by events of the GPU
    h2d_ns: tuple[Nanoseconds, ...] = ()  # its inputs to the GPU
    d2h_ns: tuple[Nanoseconds, ...] = ()  # its outputs back
    enqueue_ns: tuple[Nanoseconds, ...] = ()  # the host's time to hand it over
    at_ns: tuple[Nanoseconds, ...] = ()
    stride: int = 1
    inferences: int | None = None  # that were made, kept or not; None: as many as there are samples
    layers: LayerProfile | None = None


class Placed(Record):
    """One operation and where the runtime's own plan places it; ``cost`` is its share of the whole, by estimate."""

    name: Text
    op: Text
    unit: Text
    supported: tuple[Text, ...] = ()
    cost: float | None = None


class AppleMoment(Record):
    """What an Apple device says of itself at one moment; None where it does not."""

    thermal: Literal["nominal", "fair", "serious", "critical"] | None = None
    low_power_mode: bool | None = None
    battery_level: float | None = None  # 0 to 1
    charging: bool | None = None


class AppleIdentity(Record):
    """Which device made the run, by its own word."""

    model: Text
    os: Text
    build: Text


class AppleFacts(Record):
    """What only the runner for Apple devices tells."""

    identity: AppleIdentity
    before: AppleMoment
    after: AppleMoment | None = None
    available_memory: Bytes | None = None  # what the system would still have given the app after the inferences
    placement: dict[Literal["a", "b"], tuple[Placed, ...]] | None = None  # MLComputePlan
    placement_problem: Text = ""  # why there is none


class AgentFailure(Record):
    """Why the agent gave no figures. ``kind`` says whose fault it is."""

    stage: Literal["job", "library", "session", "input", "check", "run", "energy", "evaluate", "evict"]
    kind: Literal["user_error", "harness_error", "device_error"]
    message: Text


class Evicted(Record):
    """Files that the kernel was asked to forget: their bytes, and those that stayed in memory nevertheless."""

    bytes: Bytes
    resident: Bytes


class AgentResult(Record):
    """The one JSON object that an agent prints, or what was read from a vendor's program (agent trtexec).

    ``effective`` are settings as what ran reported them, not as they were asked for: runs that differ in one are
    unlike. ``stamp`` names a stand-in that gave itself away.
    """

    agent: Literal["native", "python", "trtexec", "apple"]
    agent_version: Text
    status: Literal["ok", "error"]
    error: AgentFailure | None = None
    machine: Text = ""
    kernel: Text = ""
    runtime_version: Text = ""
    dlopen_ns: Nanoseconds | None = None
    environment_ns: Nanoseconds | None = None  # what the runtime does once, before any model: thread pools, logging
    start_ns: Nanoseconds | None = None  # from the process's start to the first output, CLOCK_BOOTTIME
    cpus: int | None = None
    threads: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    major_faults: int | None = None
    arms: dict[Literal["a", "b"], ArmResult] = Field(default_factory=dict)
    memory: Memory | None = None
    energy: EnergyWindows | None = None
    effective: dict[Text, Text] = Field(default_factory=dict)
    warnings: tuple[Text, ...] = ()
    stamp: Text = ""
    apple: AppleFacts | None = None
    sensors: SensorTrace | None = None
    profile: tuple[Text, ...] = ()  # lines of the runtime's profiler, until `ArmResult.layers` is made of them
    evicted: Evicted | None = None
    first_output_ns: Nanoseconds | None = None  # from the program's first line to the first output, CLOCK_MONOTONIC
    cpu_total_ns: Nanoseconds | None = None  # CPU time of the agent's process, from its start to its result


class DeviceState(Record):
    """The device at one moment; None or empty where it does not tell. Temperatures in Celsius, clocks in kHz.

    ``throttle_events`` counts how often the device held itself back since it was switched on, ``thermal_status`` is
    Android's (0: none, 1 light, 2 moderate, 3 severe, ...), ``cooling`` the state of each cooling device (0: idle).
    ``cpu_busy`` and ``cpu_total`` are seconds of all CPUs together since boot (/proc/stat).
    """

    unix_ns: Nanoseconds
    os: Text = ""
    kernel: Text = ""
    machine: Text = ""
    model: Text = ""
    cpu_count: int | None = None
    governors: dict[Text, Text] = Field(default_factory=dict)
    frequencies_khz: dict[Text, int] = Field(default_factory=dict)
    temperatures_c: dict[Text, float] = Field(default_factory=dict)
    throttled: bool | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    load_1m: float | None = None
    memory_total: Bytes | None = None
    memory_available: Bytes | None = None
    disk_free: Bytes | None = None
    boot_id: Text = ""
    throttle_events: int | None = None
    thermal_status: int | None = None
    cooling: dict[Text, int] = Field(default_factory=dict)
    battery_temperature_c: float | None = None
    power_source: Text = ""  # ac, usb, wireless, battery
    screen_on: bool | None = None
    airplane: bool | None = None
    power_save: bool | None = None  # Android's battery saver
    idle_mode: Text = ""  # Android's Doze: ACTIVE, IDLE, ...
    swap_used: Bytes | None = None
    memory_pressure: float | None = None  # % of the last 10 s in which something waited for memory (PSI "some")
    cpu_busy: float | None = None
    cpu_total: float | None = None
    uptime_s: float | None = None


RunKind = Literal["solo", "duet", "memory", "energy", "profile", "cold", "sustained", "evaluate"]
ArmName = Literal["a", "b"]
BundleName = Literal["candidate", "baseline"]


class Run(Record):
    """One fresh process on the device: the unit of replication.

    ``arms`` maps the agent's arm to a bundle of the trial ("candidate", "baseline"); ``invalid`` says why a run that
    ended well must not count. Where two bundles can't be resident together, ``solo`` runs carry a ``pair`` instead.
    ``before`` and ``after`` are the device's state; ``others_load`` is the share of all CPUs that others than the
    agent used meanwhile. ``page_cache`` (cold runs) says whether the model's files had to come from storage: "dropped"
    (the whole cache), "evicted" (our files), or "warm".
    """

    index: int
    kind: RunKind
    arms: dict[Literal["a", "b"], Literal["candidate", "baseline"]]
    first: Literal["a", "b"] = "a"
    pair: int | None = None  # separate runs in ABBA order: the number of the pair that this run belongs to
    status: Status
    reason: Text = ""
    invalid: Text = ""
    started_unix_ns: Nanoseconds
    duration_ns: Nanoseconds
    result: AgentResult | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    others_load: float | None = None
    page_cache: Literal["", "dropped", "evicted", "warm"] = ""
    power: PowerTrace | None = None

    @property
    def counts(self) -> bool:
        """True when this run may enter a statistic."""
        return self.status == "ok" and not self.invalid and self.result is not None


class DeviceInfo(Record):
    """Which device it was, as far as a result must know. ``stamp`` names what is not real hardware, or is empty."""

    name: Text
    target: Text
    transport: Text
    stamp: Text = ""


class Build(Record):
    """What the device made of an artifact before it ran, such as a TensorRT engine of an ONNX file."""

    what: Text  # "TensorRT engine"
    key: Text  # what it depends on, hashed: another key, another build
    cached: bool  # True: an earlier session built it, with the same key
    seconds: float | None = None  # that building took, in whatever session it was
    size_bytes: Bytes | None = None
    system_peak_delta: Bytes | None = None  # as in `Memory`, while it was built
    precisions: dict[Text, int] = Field(default_factory=dict)  # layers by the type of their inputs
    made_by: Text = ""  # the full version of what built it
    warnings: tuple[Text, ...] = ()


class Evaluated(Record):
    """That a device computed parity and accuracy, of how many samples, and what the bundle states instead."""

    samples: int
    stated_parity: dict[str, float] = Field(default_factory=dict)
    stated_accuracy: dict[str, float] = Field(default_factory=dict)


class BundleInfo(Record):
    """Which bundle it was: digest and the figures of its manifest that a verdict needs."""

    digest: Text
    name: Text
    target: Text
    precision: Text
    size_bytes: Bytes
    parity: dict[str, float] = Field(default_factory=dict)  # sqnr_db, max_abs, top1_agreement, ...
    accuracy: dict[str, float] = Field(default_factory=dict)
    toolchain: dict[Text, Text] = Field(default_factory=dict)  # versions it was exported with; empty: not recorded
    runtime_settings: dict[Text, Text] = Field(default_factory=dict)  # what its target asks of the runtime
    evaluated: Evaluated | None = None  # then parity and accuracy are the device's own, and not what the bundle states


class Trial(Record):
    """A series of runs of one bundle, or of two interleaved, on one device in one session."""

    schema_: Literal["seatrial.trial/1"] = Field(default=TRIAL_SCHEMA, alias="schema")
    id: Text
    seatrial_version: Text
    started_unix_ns: Nanoseconds
    finished_unix_ns: Nanoseconds | None = None
    status: Status = "ok"
    reason: Text = ""
    device: DeviceInfo
    bundles: dict[Literal["candidate", "baseline"], BundleInfo]
    settings: dict[str, Any] = Field(default_factory=dict)
    meter: MeterInfo | None = None
    unmeasured: dict[Text, Text] = Field(default_factory=dict)  # metric -> why it was not measured
    before: DeviceState | None = None
    after: DeviceState | None = None
    builds: dict[Literal["candidate", "baseline"], Build] = Field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    notes: tuple[Text, ...] = ()
    preparation: tuple[Prepared, ...] = ()

    def of(self, kind: RunKind, bundle: str | None = None) -> tuple[Run, ...]:
        """Return the runs of ``kind`` that count, of ``bundle`` if one is named, in the order they were made."""
        return tuple(
            run
            for run in self.runs
            if run.kind == kind and run.counts and (bundle is None or bundle in run.arms.values())
        )


def agent_arm(run: Run, bundle: str) -> ArmResult:
    """Return what the agent measured of ``bundle`` in ``run``. Raises KeyError when it was not in it."""
    arm = next(a for a, b in run.arms.items() if b == bundle)
    if run.result is None:
        raise KeyError(bundle)
    return run.result.arms[arm]
