"""What Seatrial does, as functions: compress, export, bench, gate, judge. The command line is a thin layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seatrial_targets.errors import UserError

from .version import __version__

if TYPE_CHECKING:
    from pydantic import BaseModel

    from seatrial_ci.gate import GateSettings, Verdict
    from seatrial_ci.history import History
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.plan import Event, Plan
    from seatrial_runner.records import BundleName, Trial
    from seatrial_runner.trial import TrialRunner
    from seatrial_targets.budgets import Budgets
    from seatrial_targets.inventory import Device
    from seatrial_targets.profile import TargetProfile

    from .compression.analysis.record import Analysis
    from .compression.recipe import Recipe
    from .compression.run import Compressed
    from .compression.settings import StepSettings
    from .source import ModelSource

    OnEvent = Callable[[Event], None]
    OnStage = Callable[[str], None]

M = TypeVar("M", bound="BaseModel")
CALIBRATION_RUNS = 10


def export(
    source: str | ModelSource,
    target: str,
    out: Path | str,
    *,
    name: str = "",
    data: str | ModelSource | None = None,
    log: Path | None = None,
    keep_float: Sequence[str] = (),
    keep_float32: Sequence[str] = (),
    on_progress: OnStage | None = None,
) -> Bundle:
    """Export a model for a target and return the bundle, written below the folder ``out`` as ``NAME.TARGET``.

    ``source`` is ``module:factory``, ``file.py:factory``, a ``.pt2`` file, or a loaded `ModelSource`. ``data`` names
    the source that a compressed `.pt2` was made from: its calibration, checks and evaluate are taken, and parity is
    measured against its module. When the model can't be exported, ``log`` (a file) receives the converter's whole
    error. ``keep_float`` names modules that int8 leaves in floating point, beside those of the source and the target.
    ``keep_float32`` takes the place of the target's ``coreml.keep_float32``: what stays in float32 in a Core ML package
    of float16, or ``auto``. Needs the extra ``[export]``. Raises UnknownNameError, UserError, ModelError, ExportError.
    """
    from seatrial_runner.bundle import Bundle
    from seatrial_targets import registry

    profile = registry.get(target)  # before the model's code runs, which may take long
    if keep_float32:
        profile = _keeping_float32(profile, keep_float32)
    from .exporters import export as run_export
    from .source import load_source

    loaded = load_source(source) if isinstance(source, str) else source
    if data is not None:
        loaded = loaded.with_data_of(load_source(data) if isinstance(data, str) else data)
    if keep_float:
        loaded = replace(loaded, keep_float=(*loaded.keep_float, *keep_float))
    return Bundle.open(run_export(loaded, profile, Path(out), name=name or None, log=log, on_progress=on_progress))


def _keeping_float32(profile: TargetProfile, names: Sequence[str]) -> TargetProfile:
    from pydantic import ValidationError

    if profile.runtime.name != "coreml":
        raise UserError(f"keep_float32 is for Core ML; target {profile.name!r} is for {profile.runtime.name}")
    try:
        return profile.keeping_float32(names)
    except ValidationError as error:
        said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise UserError(f"target {profile.name!r}: {said}") from error


def compress(
    source: str | ModelSource,
    recipe: Recipe | Path | str | Sequence[StepSettings],
    out: Path | str | None = None,
    *,
    targets: Sequence[str] = (),
    device: str = "",
    inventory: Path | None = None,
    plan: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_event: OnEvent | None = None,
) -> Compressed:
    """Run the steps of a recipe on a copy of the model and return what came of it; ``out`` (a `.pt2`) keeps it.

    ``source`` as in `export`; ``recipe``: a `Recipe`, the path of a YAML file, or settings of steps in their order.
    ``targets`` (added to the recipe's) must be able to carry every step. With a ``device``, latency is measured there
    before the first step and after each, for each of the targets; ``inventory`` and ``plan`` as in `bench`.
    ``resume`` goes on after the last finished step of an interrupted compression with the same ``out``.

    Needs the extra ``[compress]``. Raises ConfigError (the recipe), UserError (its order, its settings), ModelError,
    ExportError, UnknownNameError.
    """
    from seatrial_runner.plan import quiet
    from seatrial_targets import registry

    from .compression.latency import Bench
    from .compression.recipe import as_recipe

    chosen = as_recipe(recipe)
    names = tuple(dict.fromkeys((*chosen.targets, *targets)))
    profiles = [registry.get(name) for name in names]
    if device and not names:
        raise UserError("latency is measured of an export for a target: name one, in the recipe or with --target")
    from .compression.run import run_recipe
    from .source import load_source

    loaded = load_source(source) if isinstance(source, str) else source
    bench_plan = Bench(device, names, inventory, dict(plan or {})) if device else None
    path = Path(out) if out is not None else None
    return run_recipe(
        loaded, chosen.for_targets(names), path, targets=profiles, bench=bench_plan, resume=resume,
        on_event=on_event or quiet,
    )  # fmt: skip


def analyze(
    source: str | ModelSource,
    *,
    data: str | ModelSource | None = None,
    samples: int = 16,
    on_event: OnEvent | None = None,
) -> Analysis:
    """Look at a model layer by layer: size, multiply-accumulates, and what INT8 costs each layer and the whole.

    ``source`` as in `export`; ``data`` names what a quantized `.pt2` was made from. ``samples``: calibration samples
    that are used. Needs the extra ``[compress]``. Raises ModelError, UserError, ExportError.
    """
    from .compression.analysis.analyse import analyse
    from .source import load_source

    loaded = load_source(source) if isinstance(source, str) else source
    if data is not None:
        loaded = loaded.with_data_of(load_source(data) if isinstance(data, str) else data)
    return analyse(loaded, samples=samples, on_event=on_event)


def bench(
    bundle: Path | str,
    device: str,
    *,
    inventory: Path | None = None,
    plan: Mapping[str, Any] | None = None,
    out: Path | None = None,
    resume: bool = False,
    evaluate: str | ModelSource | None = None,
    on_event: OnEvent | None = None,
) -> Trial:
    """Measure one bundle on one device: memory, solo latency, and energy where there is a meter; judge nothing.

    ``plan`` changes fields of `seatrial_runner.plan.Plan`; ``out`` keeps the trial there, run by run. With a model
    source in ``evaluate``, its metrics and the parity with torch are computed from the device's own outputs. Raises
    BundleError, UnknownNameError, and DeviceErrors; what was measured until then is in ``out``'s journal.
    """
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.plan import quiet
    from seatrial_runner.trial import open_trial

    candidate = Bundle.open(bundle)
    with open_trial(
        _device(device, inventory),
        {"candidate": candidate},
        _plan(candidate, plan),
        out=out,
        resume=resume,
        on_event=on_event or quiet,
        version=__version__,
    ) as runner:
        runner.measure()
        _evaluate(runner, {"candidate": candidate}, evaluate)
    return runner.trial


def gate(
    candidate: Path | str,
    baseline: Path | str | None,
    device: str,
    budgets: Path | None = None,
    *,
    baselines: Path | str | None = None,
    history: History | None = None,
    inventory: Path | None = None,
    plan: Mapping[str, Any] | None = None,
    settings: GateSettings | None = None,
    out: Path | None = None,
    resume: bool = False,
    evaluate: str | ModelSource | None = None,
    on_event: OnEvent | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Trial, Verdict]:
    """Measure a candidate, beside a baseline if there is one, until budgets and comparison are decided; judge it.

    ``baseline`` is a bundle's path, or a reference such as ``branch:main`` into the store ``baselines``. Without
    ``budgets`` (a YAML file) those of the candidate's target hold. ``history`` is asked whether the baseline failed its
    own gate, and what the device's calibration can show; nothing is added to it. ``evaluate`` as in `bench`, for both
    bundles. ``tell`` gets the plan and each look, in words. What can't be answered is refused before anything is
    measured: UserError. Raises as `bench` does.
    """
    from seatrial_ci.gate import GateSettings, judge
    from seatrial_ci.gate.before import Known, check_before, look_up
    from seatrial_ci.gate.live import measure_until_decided, silent

    from .pairing import open_pair

    bundles = open_pair(candidate, baseline, baselines)
    limits = _budgets(budgets, bundles["candidate"])
    if baseline is None and not limits.model_dump(exclude_defaults=True):
        raise UserError("nothing to judge: give a budgets file with at least one limit, or a baseline")
    settings = settings or GateSettings()
    sides = bundles["candidate"], bundles.get("baseline")
    known = look_up(history, *sides, device) if history else Known()
    notes = check_before(*sides, limits, settings, known, evaluated=evaluate is not None)
    with _open_gate(_device(device, inventory), bundles, limits, settings, plan, out, resume, on_event) as runner:
        runner.note(notes)
        _evaluate(runner, bundles, evaluate)
        measure_until_decided(runner, limits, settings, tell or silent)
    return runner.trial, judge(runner.trial, limits, settings)


def _open_gate(
    device: Device,
    bundles: Mapping[BundleName, Bundle],
    limits: Budgets,
    settings: GateSettings,
    plan: Mapping[str, Any] | None,
    out: Path | None,
    resume: bool,
    on_event: OnEvent | None,
) -> AbstractContextManager[TrialRunner]:
    from seatrial_ci.gate.plan import enough
    from seatrial_runner.plan import quiet
    from seatrial_runner.trial import open_trial

    wanted = _plan(bundles["candidate"], {"comparison": settings.comparison} | dict(plan or {}))
    return open_trial(
        device,
        bundles,
        enough(wanted, limits, plan or {}),
        out=out,
        resume=resume,
        on_event=on_event or quiet,
        version=__version__,
        # Only what was set: a comparison that nobody asked for must not be missed when the record is judged again.
        extra_settings={
            "budgets": limits.model_dump(mode="json", by_alias=True, exclude_unset=True),
            "gate": settings.model_dump(mode="json"),
        },
    )


def calibrate(
    bundle: Path | str,
    device: str,
    *,
    pairs: int = 32,
    inventory: Path | None = None,
    plan: Mapping[str, Any] | None = None,
    out: Path | None = None,
    resume: bool = False,
    evaluate: str | ModelSource | None = None,
    on_event: OnEvent | None = None,
) -> Trial:
    """Measure a bundle beside itself (A/A) and return the trial: what differs in it is the noise of the device.

    `seatrial_ci.gate.calibration` tells the noise of each metric and what it lets one see. ``pairs`` is how many duets
    (or pairs of separate runs) are made; ten solo runs of either side, unless ``plan`` says otherwise. Raises as
    `bench` does.
    """
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.plan import quiet
    from seatrial_runner.trial import open_trial

    opened = Bundle.open(bundle)
    with open_trial(
        _device(device, inventory),
        {"candidate": opened, "baseline": opened},
        _plan(opened, {"solo_runs": CALIBRATION_RUNS} | dict(plan or {})),
        out=out,
        resume=resume,
        on_event=on_event or quiet,
        version=__version__,
    ) as runner:
        runner.measure()
        runner.pairs(pairs)
    return runner.trial


def _evaluate(runner: TrialRunner, bundles: Mapping[BundleName, Bundle], evaluate: str | ModelSource | None) -> None:
    if evaluate is None:
        return
    from .evaluation import evaluate_on_device
    from .source import load_source

    source = load_source(evaluate) if isinstance(evaluate, str) else evaluate
    for name, bundle in bundles.items():
        evaluate_on_device(runner, name, bundle.manifest, source)


def judge_file(
    trial: Path,
    budgets: Path | None = None,
    settings: GateSettings | None = None,
    changes: Mapping[str, Any] | None = None,
) -> tuple[Trial, Verdict]:
    """Judge a recorded trial without a device. Without ``budgets`` and ``settings``, those it was measured for hold.

    ``changes`` are fields of `GateSettings` that are changed in either.
    """
    from seatrial_ci.gate import GateSettings, judge, load_trial
    from seatrial_targets.budgets import Budgets
    from seatrial_targets.located import load

    recorded = load_trial(trial)
    limits = load(budgets, Budgets) if budgets else _recorded(trial, Budgets, recorded.settings.get("budgets", {}))
    settings = settings or _recorded(trial, GateSettings, recorded.settings.get("gate", {}))
    return recorded, judge(recorded, limits, settings.model_copy(update=dict(changes or {})))


def _recorded(trial: Path, model: type[M], kept: Any) -> M:
    from pydantic import ValidationError

    from seatrial_targets.errors import UserError

    try:
        return model.model_validate(kept)
    except ValidationError as error:
        what = f"the {model.__name__} recorded in it"
        raise UserError(f"{trial}: {what} can't be read: {error.errors()[0]['msg']}; give --budgets") from error


def _device(name: str, inventory: Path | None) -> Device:
    from seatrial_targets import inventory as devices

    return devices.load(inventory).get(name)


def _plan(bundle: Bundle, changes: Mapping[str, Any] | None) -> Plan:
    from seatrial_runner.plan import Plan
    from seatrial_runner.session import profile_of

    return Plan.for_profile(profile_of(bundle)).but(**dict(changes or {}))


def _budgets(path: Path | None, bundle: Bundle) -> Budgets:
    from seatrial_runner.session import profile_of
    from seatrial_targets.budgets import Budgets
    from seatrial_targets.located import load

    if path:
        return load(path, Budgets)
    # A manifest holds the profile with all its defaults; as defaults they demand no baseline.
    return Budgets.model_validate(
        profile_of(bundle).budgets.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    )
