"""Trials whose right verdict is obvious: made of runs with a chosen latency and a chosen noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seatrial_runner.records import AgentResult, ArmResult, BundleInfo, DeviceInfo, DeviceState, Memory, Run, Trial

MS = 1_000_000
SECOND = 1_000_000_000


class TrialMaker:
    """Builds trials run by run; every number is chosen by the test, noise comes from a fixed seed."""

    def __init__(self, seed: int = 7) -> None:
        self.rng = np.random.default_rng(seed)
        self.runs: list[Run] = []

    def samples(self, center_ns: float, n: int = 64, noise: float = 0.002) -> tuple[int, ...]:
        return tuple(int(x) for x in center_ns * np.exp(self.rng.standard_normal(n) * noise))

    def arm(self, wall_ns: Sequence[int], session_ns: int = 20 * MS) -> ArmResult:
        return ArmResult(
            session_ns=session_ns, first_ns=5 * MS, warmup_iterations=30, checks=(), wall_ns=tuple(wall_ns)
        )

    def result(self, **kwargs: Any) -> AgentResult:
        base = {
            "agent": "native",
            "agent_version": "1",
            "status": "ok",
            "runtime_version": "1.22",
            "machine": "aarch64",
        }
        return AgentResult.model_validate({**base, **kwargs})

    def run(self, kind: str, arms: dict[str, str], result: AgentResult | None, **kwargs: Any) -> Run:
        index = len(self.runs)
        base = {"status": "ok", "started_unix_ns": index * SECOND, "duration_ns": SECOND}
        made = Run.model_validate({**base, "index": index, "kind": kind, "arms": arms, "result": result, **kwargs})
        self.runs.append(made)
        return made

    def solo(
        self, center_ns: float = 10 * MS, bundle: str = "candidate", n: int = 64, noise: float = 0.002, **kwargs: Any
    ) -> Run:
        result = self.result(arms={"a": self.arm(self.samples(center_ns, n, noise))})
        return self.run("solo", {"a": bundle}, result, **kwargs)

    def solos(self, count: int, center_ns: float = 10 * MS, sd: float = 0.005, **kwargs: Any) -> TrialMaker:
        for _ in range(count):
            self.solo(center_ns * float(np.exp(self.rng.standard_normal() * sd)), **kwargs)
        return self

    def duet(self, log_ratio: float, n: int = 16, base_ns: float = 10 * MS) -> Run:
        """A duet whose every quadruple has the ratio exp(log_ratio), to 1e-7; bundles swap arms from run to run."""
        swap = len(self.runs) % 2 == 1
        arms = {"a": "baseline", "b": "candidate"} if swap else {"a": "candidate", "b": "baseline"}
        mood = self.samples(base_ns, n, 0.1)
        made = {"baseline": self.arm(mood), "candidate": self.arm([round(x * np.exp(log_ratio)) for x in _twice(mood)])}
        made["baseline"] = self.arm(_twice(mood))
        return self.run("duet", arms, self.result(arms={a: made[b] for a, b in arms.items()}), first="a")

    def duets(self, count: int, effect: float = 0.0, sd: float = 0.008) -> TrialMaker:
        for noise in self.rng.standard_normal(count):
            self.duet(float(np.log1p(effect) + sd * noise))
        return self

    def memory(self, peak: int, bundle: str = "candidate") -> Run:
        memory = Memory(baseline_rss=MS, peak_load=peak, peak_inference=peak - 1, pss=peak // 2, hwm_reset=True)
        return self.run("memory", {"a": bundle}, self.result(memory=memory))

    def trial(self, baseline: bool = True, **kwargs: Any) -> Trial:
        bundle = BundleInfo(
            digest="c" * 64,
            name="net-int8",
            target="generic-arm64",
            precision="int8",
            size_bytes=5_000_000,
            parity={"sqnr_db": 21.5, "top1_agreement": 0.97},
            accuracy={"top1": 0.75},
        )
        other = bundle.model_copy(update={"digest": "b" * 64, "name": "net-fp32", "precision": "fp32"})
        state = DeviceState(unix_ns=SECOND, governors={"cpu0": "performance"}, throttled=False, boot_id="one")
        made: dict[str, Any] = {
            "id": "trial-1",
            "seatrial_version": "0.1",
            "started_unix_ns": SECOND,
            "finished_unix_ns": 2 * SECOND,
            "device": DeviceInfo(name="lab-pi", target="raspberry-pi-5", transport="ssh"),
            "bundles": {"candidate": bundle, **({"baseline": other} if baseline else {})},
            "before": state,
            "after": state,
            "runs": tuple(self.runs),
        }
        return Trial.model_validate({**made, **kwargs})


def _twice(samples: Sequence[int]) -> list[int]:
    return [x for x in samples for _ in range(2)][: len(samples) // 2 * 2]
