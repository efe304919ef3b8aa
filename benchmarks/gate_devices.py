"""Simulated devices for gate_error_rates.py: what makes two runs of one model differ, each part with its own number.

A run's inferences are base x exp(mood), and the mood of an inference is the sum of

- the session (another day, another temperature): `session_sd`; a rule that compares within a session never sees it;
- the run, a fresh process: `run_sd`, and 3 % of the runs are disturbed and 8 to 25 % slower (`outliers`);
- the session's way: a random walk of `walk` x `run_sd` per run, and a drift of up to `drift` over 128 runs;
- the inferences after each other: AR(1) with `within_rho` and `within_sd`, and 1 % of them take half as long again;
- two clock states, `slow_clock` apart, in each of which it stays for about `dwell` inferences (DVFS);
- heat: up to `ramp` slower, with a time constant of 40 runs.

A duet's two models share all that and differ by their layout in memory, `layout_sd` per run, and by who came first,
`order_effect`: on the machine of data/aa_noisy_vm.npz .8 % and, in other data of it, .6 % either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seatrial_runner.records import (
    AgentResult,
    ArmResult,
    BundleInfo,
    DeviceInfo,
    DeviceState,
    Run,
    Trial,
)

Floats = NDArray[np.float64]
BASE_NS, SAMPLES, POOL = 5_000_000, 60, 4000
SESSION_RUNS = 128
BUNDLE = BundleInfo(digest="0" * 64, name="simulated", target="simulated", precision="fp32", size_bytes=1)
# Records are copies of these: building each anew would take most of the time.
ARM = ArmResult(session_ns=1, first_ns=1, warmup_iterations=1, checks=())
RESULT = AgentResult(agent="native", agent_version="simulated", status="ok")
RUN = Run(index=0, kind="solo", arms={"a": "candidate"}, status="ok", started_unix_ns=0, duration_ns=0)
STATE = DeviceState(unix_ns=0, throttled=False, boot_id="one")


@dataclass(frozen=True)
class Device:
    """How noisy, and in what ways. ``throttles``: it says of itself, after the runs, that it was throttled."""

    name: str
    run_sd: float
    session_sd: float = 0.02
    outliers: float = 0.03
    walk: float = 0.15
    drift: float = 0.05
    within_sd: float = 0.01
    within_rho: float = 0.9
    slow_clock: float = 0.0
    dwell: int = 50
    ramp: float = 0.0
    layout_sd: float = 0.0085
    order_effect: float = 0.006
    throttles: bool = False


QUIET = Device("run sd 1 %", 0.01)
RUN_SDS = (
    QUIET,
    replace(QUIET, name="run sd 2 %", run_sd=0.02),
    replace(QUIET, name="run sd 3 %", run_sd=0.03),
    replace(QUIET, name="run sd 5 %", run_sd=0.05),
)
# What the run does to both is nothing to a duet: there it is the noise between the two models that counts.
DUET_SDS = (
    replace(QUIET, name="duets' sd .8 %, run sd 2 %", run_sd=0.02),
    replace(QUIET, name="duets' sd .8 %, run sd 13 %", run_sd=0.13),
    replace(QUIET, name="duets' sd 1.5 %, run sd 13 %", run_sd=0.13, layout_sd=0.015),
    replace(QUIET, name="duets' sd 3 %, run sd 13 %", run_sd=0.13, layout_sd=0.03),
)
KINDS = (
    replace(QUIET, name="2 %, inferences correlated .97", run_sd=0.02, within_rho=0.97, within_sd=0.05),
    replace(QUIET, name="2 %, drift up to 30 %", run_sd=0.02, drift=0.3),
    replace(QUIET, name="2 %, 15 % outlier runs", run_sd=0.02, outliers=0.15),
    replace(QUIET, name="2 %, two clock states", run_sd=0.02, slow_clock=0.25),
    replace(QUIET, name="2 %, heats up by 20 %", run_sd=0.02, ramp=0.2),
)
THROTTLED = replace(QUIET, name="throttled, and says so", throttles=True)


class Session:
    """Runs made one after the other on one device; ``effect`` is how much slower the candidate truly is."""

    def __init__(self, device: Device, rng: np.random.Generator, effect: float = 0.0) -> None:
        self.device, self.rng, self.effect = device, rng, effect
        self.made = 0
        self.level = device.session_sd * rng.standard_normal()
        self.slope = rng.uniform(-0.2, 1.0) * device.drift / SESSION_RUNS
        self._walk = 0.0
        self._pool = pool(device)

    def solo(self, candidate: bool) -> Floats:
        """Return the wall times of a run of one model, shape (60,), in ns."""
        mood = self._mood(SAMPLES) + (np.log1p(self.effect) if candidate else 0.0)
        return np.asarray(np.rint(BASE_NS * np.exp(mood)), dtype=np.float64)

    def duet(self, candidate_first: bool) -> tuple[Floats, Floats]:
        """Return the wall times of candidate and baseline in one duet, shape (60,) each, in ns."""
        mood = self._mood(2 * SAMPLES).reshape(-1, 4)  # quadruples A B B A
        outer, inner = mood[:, [0, 3]].ravel(), mood[:, [1, 2]].ravel()
        one, other = (outer, inner) if candidate_first else (inner, outer)
        d = self.device
        shift = d.layout_sd * self.rng.standard_normal() + (d.order_effect if candidate_first else -d.order_effect)
        one = one + shift + np.log1p(self.effect)
        return tuple(np.asarray(np.rint(BASE_NS * np.exp(x)), dtype=np.float64) for x in (one, other))  # type: ignore[return-value]

    def _mood(self, count: int) -> Floats:
        d, rng = self.device, self.rng
        self._walk += d.walk * d.run_sd * rng.standard_normal()
        run = d.run_sd * rng.standard_normal() + (rng.uniform(0.08, 0.25) if rng.random() < d.outliers else 0.0)
        heat = d.ramp * (1 - np.exp(-self.made / 40))
        level = self.level + self._walk + self.slope * self.made + run + heat
        self.made += 1
        return level + self._pool[rng.integers(len(self._pool)), :count]


_POOLS: dict[Device, Floats] = {}


def pool(device: Device) -> Floats:
    """Return traces of what happens within a run, shape (4000, 120), made once for each device."""
    key = replace(device, name="", run_sd=0.0)
    if key not in _POOLS:
        _POOLS[key] = _traces(device, np.random.default_rng(7))
    return _POOLS[key]


def _traces(device: Device, rng: np.random.Generator) -> Floats:
    shape = (POOL, 2 * SAMPLES)
    noise = rng.standard_normal(shape) * device.within_sd * np.sqrt(1 - device.within_rho**2)
    x = np.empty(shape)
    x[:, 0] = device.within_sd * rng.standard_normal(POOL)
    for i in range(1, shape[1]):
        x[:, i] = device.within_rho * x[:, i - 1] + noise[:, i]
    x += np.log(1.5) * (rng.random(shape) < 0.01)
    if device.slow_clock:
        switched = np.cumsum(rng.random(shape) < 1 / device.dwell, axis=1) + rng.integers(2, size=(POOL, 1))
        x += np.log1p(device.slow_clock) * (switched % 2)
    return x


def duet_run(index: int, candidate: Floats, baseline: Floats, candidate_first: bool) -> Run:
    """Return the record of a duet, copied without validation: there are very many."""
    times = {"a": candidate, "b": baseline}
    return _run(index, "duet", {"a": "candidate", "b": "baseline"}, times, "a" if candidate_first else "b", None)


def solo_run(index: int, wall_ns: Floats, candidate: bool, pair: int | None = None) -> Run:
    """Return the record of a solo run; with ``pair`` it is half of an ABBA pair."""
    return _run(index, "solo", {"a": "candidate" if candidate else "baseline"}, {"a": wall_ns}, "a", pair)


def _run(index: int, kind: str, arms: dict[str, str], times: dict[str, Floats], first: str, pair: int | None) -> Run:
    made = {
        arm: ARM.model_copy(update={"wall_ns": tuple(wall.astype(np.int64).tolist())}) for arm, wall in times.items()
    }
    result = RESULT.model_copy(update={"arms": made})
    facts = {"index": index, "kind": kind, "arms": arms, "first": first, "pair": pair, "result": result}
    return RUN.model_copy(update=facts)


def empty_trial(throttled: bool = False) -> Trial:
    """Return a trial of two bundles without runs."""
    return Trial(
        id="simulated",
        seatrial_version="0",
        started_unix_ns=0,
        device=DeviceInfo(name="simulated", target="simulated", transport="none", stamp="simulation"),
        bundles={"candidate": BUNDLE, "baseline": BUNDLE},
        before=STATE,
        after=STATE.model_copy(update={"throttled": throttled}),
    )
