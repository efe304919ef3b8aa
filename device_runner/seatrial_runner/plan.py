"""How a trial is run: how many runs of which kind, how long each. Kept in the trial: unlike plans do not compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from seatrial_targets.errors import UserError
from seatrial_targets.profile import TargetProfile


@dataclass(frozen=True)
class Plan:
    """Numbers of runs and of inferences per run; times in ns unless named otherwise.

    60 inferences per arm make 30 quadruples, which is what the noise figures of duets were measured with; 200 are
    enough for a p90 (64 needed) in a solo run. The warm-up rule is AndroidX Benchmark's, but its cap of 8 s is for
    code that is compiled as it runs; here it is 3 s, in a duet 2 s: on a noisy machine the averages never agree.
    """

    threads: int = 1
    spin: bool = True
    cpus: tuple[int, ...] = ()  # affinity of the agent; empty: wherever the scheduler puts it
    solo_runs: int = 5
    memory_runs: int = 3
    energy_runs: int = 1
    cold_runs: int = 0
    profile_runs: int = 0
    sustained_ns: int = 0  # how long a sustained run lasts; 0: none is made
    solo_iterations: int = 200
    duet_iterations: int = 60
    memory_iterations: int = 20
    cold_iterations: int = 20  # after the first, to know what warm is
    profile_iterations: int = 20
    sustained_samples: int = 50_000  # that are kept of a sustained run, at a steady stride
    max_ns: int = 20_000_000_000
    warmup_iterations: int = 30
    warmup_min_ns: int = 250_000_000
    warmup_max_ns: int = 3_000_000_000
    duet_warmup_max_ns: int = 2_000_000_000
    energy_window_ns: int = 10_000_000_000
    energy_sample_ns: int = 100_000_000
    comparison: Literal["auto", "duet", "separate"] = "auto"
    run_seconds: float = 180.0
    redos: int = 2
    compute_units: str = ""  # Core ML: instead of those that the target asks for; other runtimes have none

    @classmethod
    def for_profile(cls, profile: TargetProfile) -> Plan:
        """Return the default plan with the profile's threads."""
        return cls(threads=profile.runtime.threads, spin=profile.runtime.spin)

    def but(self, **changes: Any) -> Plan:
        """Return this plan with some fields changed; None leaves a field as it is. Raises UserError for nonsense."""
        plan = replace(self, **{key: value for key, value in changes.items() if value is not None})
        for key in ("threads", "solo_runs", "solo_iterations", "duet_iterations", "run_seconds"):
            if getattr(plan, key) < 1:
                raise UserError(f"{key.replace('_', ' ')}: {getattr(plan, key)} is less than 1")
        return plan

    def settings(self) -> dict[str, Any]:
        """Return the plan as plain data, for the record: as JSON gives it back, so that --resume can compare."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Event:
    """Something happened on the way: which stage, how far it is, of how much; ``note`` is what changes within it."""

    stage: str
    done: int = 0
    total: int = 0
    unit: Literal["runs", "bytes", "steps", "seconds"] = "steps"
    note: str = ""


OnEvent = Callable[[Event], None]


def quiet(event: Event) -> None:
    """Ignore the event: the default for programs."""
