"""What one pytest run measures and judges, behind the fixtures of `seatrial.testing.plugin`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from pydantic import ValidationError

from seatrial import api
from seatrial.commands.files import prepare, trial_file
from seatrial_ci.gate import GateSettings, Verdict, judge, load_trial
from seatrial_ci.gate.wording import show
from seatrial_ci.summary import summarise
from seatrial_runner.printable import printable
from seatrial_runner.records import Trial
from seatrial_targets import inventory
from seatrial_targets.atomic import write_atomic
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import HarnessError, LeaseHeldError, UserError
from seatrial_targets.inventory import Device
from seatrial_targets.located import load, loads

T = TypeVar("T")
POLL_SECONDS = 1.0


class InvalidTrialError(HarnessError):
    """A trial can't be used to judge; which says nothing about the model."""


@dataclass(frozen=True)
class Session:
    """The options of a run: the device's name, its inventory, limits for all, where trials go, how long to wait."""

    name: str
    devices: Path | None
    budgets: Path | None
    out: Path
    wait_seconds: float

    @classmethod
    def of(cls, config: pytest.Config) -> Session:
        """Return the options of a run; relative paths are those of the folder where pytest was started."""
        place = config.invocation_params.dir
        paths = {name: config.getoption(f"seatrial_{name}") for name in ("devices", "budgets", "out")}
        devices, budgets, out = (place / path if path else None for path in paths.values())
        return cls(
            config.getoption("seatrial_device"), devices, budgets, out or place, config.getoption("seatrial_wait")
        )

    def device(self) -> Device:
        """Return the device. Raises UnknownNameError, ConfigError."""
        return inventory.load(self.devices).get(self.name)

    def measure(
        self, bundle: Path | str, baseline: Path | str | None, limits: Mapping[str, Any], plan: Mapping[str, Any]
    ) -> Trial:
        """Measure a bundle and keep the trial in a file of its own. Raises as `seatrial.gate` does."""
        out = self._free(trial_file(Path(bundle), self.name).stem)
        if baseline is None and not limits and self.budgets is None:
            return self._when_free(
                lambda: api.bench(bundle, self.name, inventory=self.devices, plan=dict(plan), out=out)
            )
        budgets = self._written(limits, out.with_suffix(".budgets.yaml"))
        return self._when_free(
            lambda: api.gate(bundle, baseline, self.name, budgets, inventory=self.devices, plan=dict(plan), out=out)[0]
        )

    def judge(self, trial: Trial | Path | str, budgets: Any, limits: Mapping[str, Any]) -> tuple[Verdict, str]:
        """Return the verdict on a trial and what it says, with the figures. Raises UserError for wrong limits."""
        found = trial if isinstance(trial, Trial) else load_trial(Path(trial))
        try:
            settings = GateSettings.model_validate(found.settings.get("gate", {}))
            wanted = self._limits(found, budgets, limits)
        except ValidationError as error:
            raise UserError(f"trial {found.id}: its settings can't be read: {error.errors()[0]['msg']}") from None
        verdict = judge(found, wanted, settings)
        return verdict, told(verdict, found)

    def _limits(self, trial: Trial, budgets: Any, limits: Mapping[str, Any]) -> Budgets:
        if isinstance(budgets, Budgets):
            own = budgets.model_dump(mode="json", by_alias=True, exclude_unset=True)
            return Budgets.model_validate(own | _read(limits))
        path = Path(budgets) if budgets is not None else self.budgets
        if path is None and not limits:
            return Budgets.model_validate(trial.settings.get("budgets", {}))
        return loads(_merged(path, limits), f"{path or 'the limits of the test'}", Budgets)

    def _written(self, limits: Mapping[str, Any], path: Path) -> Path | None:
        """Return the file that holds the limits, written when a marker changes them; None for those of the target."""
        if not limits:
            return self.budgets
        write_atomic(path, _merged(self.budgets, limits))
        return path

    def _free(self, stem: str) -> Path:
        """Return a new file below the folder for trials; workers of one run and later runs never share one."""
        prepare([self.out / f"{stem}.json"])
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        names = (f"{stem}{'.' + worker if worker else ''}{f'.{n}' if n else ''}.json" for n in count())
        return next(self.out / name for name in names if not list(self.out.glob(f"{name.removesuffix('.json')}.json*")))

    def _when_free(self, measure: Callable[[], T]) -> T:
        """Measure when no other runner (another xdist worker, say) holds the device."""
        deadline = time.monotonic() + self.wait_seconds
        while True:
            try:
                return measure()
            except LeaseHeldError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_SECONDS)


def _merged(path: Path | None, limits: Mapping[str, Any]) -> str:
    """Return the YAML of a budgets file with some limits changed."""
    if path is not None:
        load(path, Budgets)  # whose errors name the line
    own = yaml.safe_load(path.read_text(encoding="utf-8")) if path is not None else {}
    try:
        return json.dumps({**(own or {}), **limits}, indent=1)
    except TypeError as error:
        raise UserError(f"the limits of the test can't be written as YAML: {error}") from None


def _read(limits: Mapping[str, Any]) -> dict[str, Any]:
    read = loads(json.dumps(dict(limits)), "the limits of the test", Budgets)
    return read.model_dump(mode="json", by_alias=True, exclude_unset=True)


def told(verdict: Verdict, trial: Trial) -> str:
    """Return a verdict, its reasons and the figures, a line each, without control characters."""
    lines = [f"{verdict.outcome.value} {verdict.candidate} on {verdict.device}", *verdict.reasons]
    for bundle in summarise(trial).bundles:
        figures = {**bundle.latency, "peak memory": bundle.peak_memory, "energy": bundle.energy}
        words = [
            f"{name} {show(found.value, found.unit)}" for name, found in figures.items() if found.value is not None
        ]
        lines.append(f"{bundle.role} {bundle.name}: {', '.join(words) or 'nothing measured'}")
    return "\n".join(printable(line.encode(), 1000) for line in lines)
