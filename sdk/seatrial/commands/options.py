"""Options and arguments that several commands take, and what a shell completes in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
WARMUP_MIN_NS, RUN_SECONDS = 250_000_000, 180.0  # those of seatrial_runner.plan.Plan, which help must not import
MOST_SUSTAINED_NS = 12 * 3600 * 10**9
FOLDER = click.Path(file_okay=False, path_type=Path)


def complete_targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the targets that begin with what was typed."""
    from seatrial_targets.registry import names

    return _beginning(names(), incomplete)


def complete_devices(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the devices that begin with what was typed; none when the inventory is wrong."""
    from seatrial_targets.errors import SeatrialError
    from seatrial_targets.inventory import load

    try:
        return _beginning(sorted(load(ctx.params.get("devices_file")).devices), incomplete)
    except SeatrialError:
        return []


def _beginning(names: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def device_option(command: F) -> F:
    """Add `--device` and `--devices`."""
    named = click.option(
        "--device", required=True, metavar="NAME", shell_complete=complete_devices, help="Device to measure on."
    )
    return named(devices_file(command))


def evaluate_option(command: F) -> F:
    """Add `--evaluate`."""
    text = "Model source whose evaluate() gets the device's own outputs: accuracy and parity are then the device's."
    return click.option("--evaluate", metavar="SOURCE", help=text)(command)


def devices_file(command: F) -> F:
    """Add `--devices`."""
    text = "Inventory file.  [default: ./devices.yaml, else the user's]"
    return click.option("--devices", "devices_file", type=FILE, metavar="FILE", help=text)(command)


class _Seconds(click.FloatRange):
    """A number in a range, which NaN is not: click takes it for one."""

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, parameter, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds", parameter, ctx)
        return number


class _Duration(click.ParamType[int]):
    """A time with its unit: 90s, 30min, and 30m, as people write it. In ns."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> int:
        from seatrial_targets.errors import UserError
        from seatrial_targets.units import duration_ns

        if isinstance(value, int):
            return value
        try:
            ns = duration_ns(re.sub(r"(?<=\d)\s*m$", "min", str(value)))
        except UserError as error:
            self.fail(str(error), parameter, ctx)
        if not 10**9 <= ns <= MOST_SUSTAINED_NS:
            self.fail(f"{value!r} is not between 1 s and 12 h", parameter, ctx)
        return ns


def plan_options(command: F) -> F:
    """Add what changes the plan of a trial; see `plan_changes`. The upper limits are those of the agents."""
    count, most_seconds = click.IntRange(min=1, max=10_000), 43_200
    options = (
        click.option("--runs", type=count, metavar="N", help="Latency runs of each bundle, a process each."),
        click.option(
            "--iterations", type=click.IntRange(1, 1_000_000), metavar="N", help="Timed inferences of each latency run."
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, 1024),
            metavar="N",
            help="Threads of the runtime.  [default: the target's]",
        ),
        click.option(
            "--cpus", callback=cpus, metavar="N,N,...", help="CPUs of the device to run on.  [default: all of them]"
        ),
        click.option("--memory-runs", type=click.IntRange(min=0), metavar="N", help="Memory runs of each bundle."),
        click.option("--energy-runs", type=click.IntRange(min=0), metavar="N", help="Energy runs of each bundle."),
        click.option(
            "--energy-window",
            type=_Duration(),
            metavar="TIME",
            help="Length of idle, burst and idle in an energy run.  [default: 10s]",
        ),
        click.option(
            "--cold-runs", type=click.IntRange(0, 1000), metavar="N", help="Cold starts of each bundle.  [default: 0]"
        ),
        click.option(
            "--profile", is_flag=True, default=None, help="Time each operator, too, and see which unit ran it."
        ),
        click.option(
            "--sustain", type=_Duration(), metavar="TIME", help="Go on for so long (30min) without a pause, too."
        ),
        click.option("--warmup-seconds", type=_Seconds(0, most_seconds), metavar="S", help="Longest warm-up of a run."),
        click.option(
            "--run-seconds", type=_Seconds(1, most_seconds), metavar="S", help="Longest that one run may take."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def cpus(ctx: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """Return the numbers of CPUs in ``text``, or None where nothing was given."""
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text):
        raise click.BadParameter(f"{text!r} is not a list of CPU numbers like 0,1")
    return tuple(int(number) for number in text.split(","))


def plan_changes(
    runs: int | None,
    iterations: int | None,
    threads: int | None,
    cpus: tuple[int, ...] | None,
    memory_runs: int | None,
    energy_runs: int | None,
    energy_window: int | None,
    cold_runs: int | None,
    profile: bool | None,
    sustain: int | None,
    warmup_seconds: float | None,
    run_seconds: float | None,
) -> dict[str, Any]:
    """Return the fields of `seatrial_runner.plan.Plan` that the user changed."""
    changes = {
        "solo_runs": runs,
        "solo_iterations": iterations,
        "threads": threads,
        "cpus": cpus,
        "memory_runs": memory_runs,
        "energy_runs": energy_runs,
        "energy_window_ns": energy_window,
        "cold_runs": cold_runs,
        "profile_runs": 1 if profile else None,
        "sustained_ns": sustain,
        "run_seconds": run_seconds,
    }
    if warmup_seconds is not None:
        longest = round(warmup_seconds * 1e9)
        changes |= {"warmup_max_ns": longest, "warmup_min_ns": min(longest, WARMUP_MIN_NS)}
        changes["duet_warmup_max_ns"] = longest
    if iterations is not None or run_seconds is not None:
        # Who asks for so many shall have them, on a slow device too; half of the run is for loading and warm-up.
        changes["max_ns"] = round((run_seconds or RUN_SECONDS) * 0.5e9)
    return {key: value for key, value in changes.items() if value is not None}


def report_options(command: F) -> F:
    """Add the files that a verdict can be written to."""
    options = (
        click.option("--junit", type=FILE, metavar="FILE", help="Write the verdict as JUnit XML."),
        click.option("--markdown", type=FILE, metavar="FILE", help="Write the verdict as Markdown."),
        click.option("--html", type=FILE, metavar="FILE", help="Write the verdict as one HTML page."),
        click.option("--verdict-json", type=FILE, metavar="FILE", help="Write the verdict as JSON."),
        click.option("--comment", type=FILE, metavar="FILE", help="Write the text of one pull-request comment."),
        click.option("--openmetrics", type=FILE, metavar="FILE", help="Write figures for GitLab or Prometheus."),
        click.option("--bmf", type=FILE, metavar="FILE", help="Write figures in Bencher Metric Format."),
        click.option("--benchmark-json", type=FILE, metavar="FILE", help="Write figures for github-action-benchmark."),
        click.option("--badge", type=FILE, metavar="FILE", help="Write the JSON of a shields.io badge."),
        click.option("--mlflow", metavar="URI", help="Log verdict and figures to MLflow."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def looks(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Turn `8,16,32,64` into numbers. Their order is checked by the gate's settings."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 8,16,32,64") from None
