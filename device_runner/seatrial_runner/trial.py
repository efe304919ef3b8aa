"""A trial: runs of one bundle, or of two interleaved, on one device in one session. Asks for runs; judges nothing."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from seatrial_targets.errors import CancelledError, SeatrialError, Status, UserError
from seatrial_targets.inventory import Device

from .attempts import Attempts, RunFailedError
from .builds import told, whose_memory
from .bundle import Bundle
from .condition.window import Watch
from .journal import Journal
from .plan import Event, OnEvent, Plan, quiet
from .records import ArmName, BundleInfo, BundleName, DeviceInfo, Evaluated, Run, RunKind, Trial, agent_arm
from .run import RunRequest
from .session import DeviceSession, open_session, profile_of

__all__ = ["RunFailedError", "TrialRunner", "bundle_info", "open_trial"]

# Two models fit together when what the device has free is this much more than both their peaks.
RESIDENT_MARGIN = 1.25


@dataclass
class TrialRunner:
    """Makes runs until there are as many as asked for, and keeps each as soon as it is made."""

    session: DeviceSession
    plan: Plan
    trial: Trial
    journal: Journal | None = None
    on_event: OnEvent = quiet
    runs: list[Run] = field(default_factory=list)
    _watch: Watch | None = None

    @property
    def has_baseline(self) -> bool:
        """True when the trial compares two bundles."""
        return "baseline" in self.trial.bundles

    def so_far(self) -> Trial:
        """Return the trial with the runs made up to now."""
        return self.trial.model_copy(update={"runs": tuple(self.runs)})

    def note(self, texts: Iterable[str]) -> None:
        """Add notes to the trial, each once."""
        self.trial = self.trial.model_copy(update={"notes": tuple(dict.fromkeys((*self.trial.notes, *texts)))})

    def measure(self) -> None:
        """Make the runs that the plan names: memory, cold, solo (the two bundles taking turns), energy, ..."""
        self.memory(self.plan.memory_runs)
        self.cold(self.plan.cold_runs)
        self.solo(self.plan.solo_runs)
        self.profile(self.plan.profile_runs)
        self.energy(self.plan.energy_runs)
        self.sustained()

    def memory(self, count: int) -> None:
        """Bring every bundle to ``count`` memory runs, where the runtime can tell its memory."""
        if not self.session.lacks("memory"):
            self._take_turns("memory", count)
            for run in self.so_far().of("memory"):
                self.note(whose_memory(run.arms["a"], run.result.memory if run.result else None))

    def solo(self, count: int) -> None:
        """Bring every bundle to ``count`` solo latency runs."""
        self._take_turns("solo", count)

    def cold(self, count: int) -> None:
        """Bring every bundle to ``count`` cold starts, where the runtime can tell of them."""
        if not self.session.lacks("cold"):
            self._take_turns("cold", count)

    def profile(self, count: int) -> None:
        """Bring every bundle to ``count`` runs under the runtime's own profiler, where it has one."""
        if not self.session.lacks("profile"):
            self._take_turns("profile", count)

    def sustained(self) -> None:
        """Make one sustained run of every bundle, when the plan wants it. Last of all: it leaves the device warm."""
        if not self.plan.sustained_ns or self.session.lacks("sustained"):
            return
        for done, name in enumerate(self.trial.bundles):
            if not self.so_far().of("sustained", name):
                stride = self._stride(name)
                request = partial(self.session.sustained_request, name, self.plan, stride)
                self._attempt("sustained", request, done, len(self.trial.bundles))

    def evaluate(
        self,
        name: BundleName,
        feeds: Mapping[str, Path],
        fetches: Mapping[str, Path],
        samples: int,
        at: tuple[int, int],
    ) -> None:
        """Run ``samples`` samples (raw files by input) on the device and bring its outputs into ``fetches``.

        ``at`` is for progress: how many samples were run before, and how many there are.
        """

        def request() -> RunRequest:
            return RunRequest("evaluate", {"a": name}, self.plan, feeds=feeds, fetches=fetches, samples=samples)

        self._attempt("evaluate", request, *at, step=samples)

    def evaluated(self, name: BundleName, accuracy: dict[str, float], parity: dict[str, float], samples: int) -> None:
        """Note what the device's outputs are worth: from now on these are the bundle's parity and accuracy."""
        info = self.trial.bundles[name]
        stated = Evaluated(samples=samples, stated_parity=info.parity, stated_accuracy=info.accuracy)
        own = info.model_copy(update={"accuracy": accuracy, "parity": parity, "evaluated": stated})
        self.trial = self.trial.model_copy(update={"bundles": {**self.trial.bundles, name: own}})

    def _stride(self, name: BundleName) -> int:
        """Of how many inferences one is to be kept, so that as many are kept as the plan wants."""
        self.solo(1)
        took = [wall for run in self.so_far().of("solo", name) for wall in agent_arm(run, name).wall_ns]
        typical = statistics.median(took) if took else self.plan.sustained_ns
        return max(1, round(self.plan.sustained_ns / typical / self.plan.sustained_samples))

    def energy(self, count: int) -> None:
        """Bring every bundle to ``count`` energy runs, where the device has a meter."""
        if self.session.meter.meter is not None and not self.session.lacks("energy"):
            self._take_turns("energy", count)
            # Which rails a program tells of may be known only now.
            self.trial = self.trial.model_copy(update={"meter": self.session.meter.meter})

    def pairs(self, count: int) -> None:
        """Bring the comparison to ``count`` pairs: duet runs, or pairs of separate runs in ABBA order."""
        if self.comparison() == "duet":
            self._duets(count)
        else:
            self.trial.settings["separate"] = True
            self._separate_pairs(count)

    def pairs_made(self) -> int:
        """Return how many pairs count so far: duet runs, or pairs of which both runs do."""
        trial = self.so_far()
        sides = [{run.pair for run in trial.of("solo", name) if run.pair is not None} for name in trial.bundles]
        return len(trial.of("duet")) + len(set.intersection(*sides))

    def comparison(self) -> str:
        """Return "duet", or "separate" when the plan says so, the runtime has no duets, or both don't fit into memory.

        Once there are pairs it stays as it was: what is free changes, and the two kinds are not mixed.
        """
        lacks = self.session.lacks("duet")
        if lacks and self.plan.comparison == "duet":
            raise UserError(f"{self.trial.device.name}: no duets: {lacks}; let the comparison be separate, or auto")
        if lacks:
            return "separate"
        if self.plan.comparison != "auto":
            return self.plan.comparison
        begun = {"separate" if run.pair is not None else run.kind for run in self.runs}
        if begun & {"duet", "separate"}:
            return "duet" if "duet" in begun else "separate"
        peaks = [_peak(self.so_far(), name) for name in self.trial.bundles]
        free = self.session.state.memory_available
        fits = free is None or None in peaks or sum(p for p in peaks if p) * RESIDENT_MARGIN < free
        return "duet" if fits else "separate"

    def _take_turns(self, kind: RunKind, count: int) -> None:
        names = list(self.trial.bundles)
        for index in range(count):
            for name in names if index % 2 == 0 else reversed(names):
                if len([r for r in self.so_far().of(kind, name) if r.pair is None]) <= index:
                    self._run(kind, {"a": name}, done=index, total=count)

    def _duets(self, count: int) -> None:
        arms: dict[ArmName, BundleName] = {"a": "candidate", "b": "baseline"}
        while (done := len(self.so_far().of("duet"))) < count:
            # Loading order and first arm are swapped from run to run: coming first makes a difference of about 1 %.
            self._run("duet", arms, "a" if done % 2 == 0 else "b", done=done, total=count)

    def _separate_pairs(self, count: int) -> None:
        order: tuple[BundleName, BundleName] = ("candidate", "baseline")
        for pair in range(count):
            made = {name for run in self.so_far().of("solo") if run.pair == pair for name in run.arms.values()}
            for name in order if pair % 2 == 0 else order[::-1]:
                if name not in made:
                    self._run("solo", {"a": name}, pair=pair, done=pair, total=count)

    def _run(
        self,
        kind: RunKind,
        bundles: Mapping[ArmName, BundleName],
        first: ArmName = "a",
        *,
        pair: int | None = None,
        done: int,
        total: int,
    ) -> None:
        self._attempt(kind, lambda: self.session.request(kind, bundles, self.plan, first, pair), done, total)

    def _attempt(self, kind: RunKind, request: Callable[[], RunRequest], done: int, total: int, step: int = 1) -> None:
        self.on_event(Event(f"{kind} runs", done, total, "runs"))
        # Not their number: a trial that goes on has left out the runs that failed.
        index = max((run.index for run in self.runs), default=-1) + 1
        self._attempts().run(index, request)
        self.on_event(Event(f"{kind} runs", done + step, total, "runs"))

    def _attempts(self) -> Attempts:
        if self._watch is None:
            self._watch = self.session.watch(self.on_event)
        session = self.session
        return Attempts(
            session.execute, self._watch, self._keep, session.chill, session.take_power, self.plan.redos, self.on_event
        )

    def _keep(self, run: Run) -> None:
        if self.runs and self.runs[-1].index == run.index:
            self.runs.pop()
        self.runs.append(run)
        if self.journal is not None:
            self.journal.add(run)


@contextmanager
def open_trial(
    device: Device,
    bundles: Mapping[BundleName, Bundle],
    plan: Plan,
    *,
    out: Path | None = None,
    resume: bool = False,
    on_event: OnEvent = quiet,
    version: str = "",
    extra_settings: Mapping[str, Any] | None = None,
) -> Iterator[TrialRunner]:
    """Open a session and yield the runner of a new (or, with ``resume``, an unfinished) trial.

    On leaving, the device's state is read again and the trial is written to ``out``, whatever ended it: its status
    says what. Errors are raised after that.
    """
    journal = Journal(out) if out is not None else None
    with open_session(device, bundles, on_event) as session:
        trial = _new_trial(device, bundles, plan, session, version, extra_settings or {})
        if journal is not None:
            trial = journal.begin(trial, resume=resume)
        runner = TrialRunner(session, plan, trial, journal, on_event, list(trial.runs))
        try:
            yield runner
            _finish(runner, "ok", "", after=True)
        except KeyboardInterrupt:
            _finish(runner, "cancelled", "stopped by the user", after=False)
            raise CancelledError(_kept(runner, "stopped")) from None
        except Exception as error:
            status = error.status if isinstance(error, SeatrialError) else "harness_error"
            _finish(runner, status, str(error)[:4000] or type(error).__name__, after=False)
            raise


def _finish(runner: TrialRunner, status: Status, reason: str, *, after: bool) -> None:
    update: dict[str, Any] = {"finished_unix_ns": time.time_ns(), "status": status, "reason": reason}
    if after:
        update["after"] = runner.session.read_state()
    runner.trial = runner.so_far().model_copy(update=update)
    if runner.journal is not None:
        runner.journal.finish(runner.trial)


def _kept(runner: TrialRunner, what: str) -> str:
    kept = sum(run.status == "ok" for run in runner.runs)
    where = f" in {runner.journal.path}; go on with --resume" if runner.journal else ""
    return f"{what}; {kept} finished runs are kept{where}" if where else what


def _peak(trial: Trial, name: str) -> int | None:
    peaks = [run.result.memory.peak_load or 0 for run in trial.of("memory", name) if run.result and run.result.memory]
    return max(peaks, default=None)


def _new_trial(
    device: Device,
    bundles: Mapping[BundleName, Bundle],
    plan: Plan,
    session: DeviceSession,
    version: str,
    extra: Mapping[str, Any],
) -> Trial:
    return Trial(
        schema="seatrial.trial/1",
        id=uuid.uuid4().hex,
        seatrial_version=version,
        started_unix_ns=time.time_ns(),
        device=DeviceInfo(name=device.name, target=device.target, transport=device.transport, stamp=session.stamp()),
        bundles={name: bundle_info(bundle) for name, bundle in bundles.items()},
        settings={**plan.settings(), **extra, **session.settings()},
        meter=session.meter.meter,
        unmeasured=_unmeasured(session),
        before=session.state,
        builds=session.builds(),
        notes=(*_notes(bundles, plan), *_uncontrolled(session), *told(session.builds())),
        preparation=session.prepared,
    )


def _unmeasured(session: DeviceSession) -> dict[str, str]:
    """Return which metrics will have no runs, and why."""
    energy = session.lacks("energy") or ("" if session.meter.meter else session.meter.reason)
    kinds: tuple[RunKind, ...] = ("memory", "profile", "cold", "sustained")
    reasons = {"energy": energy, **{kind: session.lacks(kind) for kind in kinds}}
    return {metric: reason for metric, reason in reasons.items() if reason}


def _notes(bundles: Mapping[BundleName, Bundle], plan: Plan) -> tuple[str, ...]:
    wanted = {name: profile_of(bundle).runtime.threads for name, bundle in bundles.items()}
    if len(set(wanted.values())) < 2:
        return ()
    said = " and ".join(f"that of the {name} {count}" for name, count in wanted.items())
    return (f"the targets want different numbers of threads, {said}; all runs had {plan.threads}",)


def _uncontrolled(session: DeviceSession) -> tuple[str, ...]:
    return tuple(f"not controlled: {p.reason}"[:4000] for p in session.prepared if p.outcome == "not set")


def bundle_info(bundle: Bundle) -> BundleInfo:
    """Return what a result keeps of a bundle."""
    manifest = bundle.manifest
    return BundleInfo(
        digest=bundle.digest,
        name=manifest.name,
        target=manifest.target,
        precision=manifest.precision,
        size_bytes=manifest.size_bytes,
        parity=manifest.parity,
        accuracy=manifest.accuracy,
        toolchain=manifest.toolchain,
        runtime_settings=_runtime_settings(bundle),
    )


def _runtime_settings(bundle: Bundle) -> dict[str, str]:
    runtime = profile_of(bundle).runtime
    wanted = runtime.model_dump(mode="json", include={"providers", "threads", "spin", "optimization", "config"})
    return {"runtime": runtime.name, **{key: json.dumps(value, sort_keys=True) for key, value in wanted.items()}}
