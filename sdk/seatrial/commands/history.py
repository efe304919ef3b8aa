"""seatrial history: what earlier gates said, how figures went, and what is kept of them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Group
from .files import prepare
from .options import FILE, FOLDER
from .remembering import PLACE
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.history.store import Entry, History
    from seatrial_ci.history.trend import Change, Trend

DAY_NS = 86_400 * 10**9
METRICS = ("latency_p50", "latency_p90", "latency_p99", "cold_load", "peak_memory", "energy_per_inference")
where_options = (
    click.option("--device", metavar="NAME", help="Only trials on this device."),
    click.option("--target", metavar="NAME", help="Only bundles of this target."),
    click.option("--candidate", metavar="NAME", help="Only trials of this bundle."),
    click.option("--branch", metavar="NAME", help="Only trials with this branch as label."),
)
url_option = click.option("--history", "url", metavar="URL", help=PLACE)


def narrowing(command: Any) -> Any:
    """Add the options that narrow down which trials are meant."""
    for option in reversed(where_options):
        command = option(command)
    return url_option(command)


def _open(url: str | None) -> History:
    from seatrial_ci.history import History

    return History.open(url)


@click.group(cls=Group)
def history() -> None:
    """What earlier gates said, how figures went, and what is kept of them."""


@history.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many.")
@narrowing
@click.pass_obj
def list_(screen: Screen, /, url: str | None, limit: int, **where: str | None) -> None:
    """List trials and their verdicts, newest first."""
    from dataclasses import asdict

    with _open(url) as kept:
        entries = kept.list(limit, **where)
    screen.document([asdict(entry) for entry in entries])
    if not entries:
        screen.line("nothing yet; every `seatrial gate` on a device adds a line")
        return
    screen.table(("when", "", "candidate", "baseline", "device", "trial"), [_row(entry) for entry in entries])


@history.command()
@click.argument("trial")
@click.option("--out", type=FILE, metavar="FILE", help="Write the trial there, as `seatrial gate --from` takes it.")
@url_option
@click.pass_obj
def show(screen: Screen, /, trial: str, out: Path | None, url: str | None) -> None:
    """Show the verdicts, labels and figures of TRIAL (its id, or how that begins)."""
    from seatrial_ci.summary import summarise
    from seatrial_targets.atomic import write_atomic

    prepare([out])
    with _open(url) as kept:
        identifier = kept.identifier(trial)
        found, verdicts, labels = kept.trial(identifier), kept.verdicts(identifier), kept.labels(identifier)
    if out is not None:
        write_atomic(out, found.model_dump_json(by_alias=True).encode() + b"\n")
    summary = summarise(found)
    screen.document(
        {
            "trial": identifier,
            "labels": labels,
            "verdicts": [json.loads(verdict.model_dump_json(by_alias=True)) for verdict in verdicts],
            "summary": json.loads(summary.model_dump_json(by_alias=True)),
            "files": {"trial": str(out)} if out else {},
        }
    )
    if labels.get("samples") == "pruned":
        screen.note("warning: the samples of this trial were pruned: its verdicts stay, but it can't be judged again")
    _say_trial(screen, found, verdicts, labels, summary)
    if out is not None:
        screen.line(f"trial: {out}")


@history.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of all of them, such as branch=main."
)
@url_option
@click.pass_obj
def import_(screen: Screen, /, paths: tuple[Path, ...], labels: tuple[str, ...], url: str | None) -> None:
    """Add recorded trials: files, or folders that are searched for them, with the verdicts that lie beside them.

    A trial without a verdict is judged by the limits that it was measured for. What is already kept stays as it is.
    """
    from seatrial_ci.history.labels import parse_labels
    from seatrial_ci.history.rebuild import rebuild

    with _open(url) as kept:
        done = rebuild(kept, paths, parse_labels(labels))
    screen.document({"added": done.added, "known": done.known, "verdicts": done.verdicts, "skipped": done.skipped})
    for path, why in done.skipped.items():
        screen.note(f"skipped: {path}: {why}")
    screen.line(
        f"added {done.added} of {done.added + done.known} trials, the others were known; {done.verdicts} verdicts"
    )


@history.command()
@click.argument("folder", type=FOLDER)
@click.option("--samples", is_flag=True, help="Every single inference, too.")
@url_option
@click.pass_obj
def export(screen: Screen, /, folder: Path, samples: bool, url: str | None) -> None:
    """Write the tables to FOLDER as Parquet, for pandas, DuckDB and the like."""
    with _open(url) as kept:
        rows = kept.export(folder, samples=samples)
    screen.document({"folder": str(folder), "rows": rows})
    for name, count in rows.items():
        screen.line(f"{folder / f'{name}.parquet'}: {count} rows")


@history.command()
@click.option("--older-than", type=click.IntRange(min=0), required=True, metavar="DAYS", help="Only what is older.")
@click.option("--samples-only", is_flag=True, help="Keep trials, verdicts and figures; remove the raw samples.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@click.pass_obj
def prune(screen: Screen, /, older_than: int, samples_only: bool, dry_run: bool, yes: bool, url: str | None) -> None:
    """Remove old trials, or only their samples.

    Kept are: trials with a tag or release, the latest of each bundle on each device, and the latest calibrations.
    """
    from seatrial_targets.units import format_size

    before = time.time_ns() - older_than * DAY_NS
    what = "the samples of {} trials" if samples_only else "{} trials"
    with _open(url) as kept:
        told = kept.prune(before, samples_only=samples_only, dry_run=True)
        text = f"{what.format(told.trials)}, {format_size(told.size_bytes)}"
        if not dry_run and told.trials:
            if not yes:
                click.confirm(f"Remove {text} from {kept.place}?", abort=True, err=True)
            kept.prune(before, samples_only=samples_only)
    screen.document({"trials": told.trials, "size_bytes": told.size_bytes, "dry_run": dry_run})
    screen.line(f"{'would go' if dry_run else 'removed'}: {text}")


@history.command()
@click.argument("metric", type=click.Choice(METRICS))
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Latest points.")
@narrowing
@click.pass_obj
def trend(screen: Screen, /, metric: str, limit: int, url: str | None, **where: str | None) -> None:
    """Show how METRIC went over time, and where its level changed: advice for the eye, not a verdict."""
    from dataclasses import asdict

    from seatrial_ci.history.trend import trends

    with _open(url) as kept:
        found = trends(kept.series(metric, limit, **where))
    screen.document([asdict(each) for each in found])
    if not found:
        screen.line(f"no trial has {metric.replace('_', ' ')}")
    for each in found:
        _say_trend(screen, each)


def _say_trial(screen: Screen, found: Any, verdicts: Any, labels: dict[str, str], summary: Any) -> None:
    from .figures import say_summaries

    if screen.as_json:
        return
    say_summaries(screen, [summary])
    screen.line()
    screen.line(f"trial {found.id}, {_when(found.started_unix_ns)}, {len(found.runs)} runs, {found.status}")
    for key, value in labels.items():
        screen.line(f"{key}: {value}")
    for verdict in verdicts:
        screen.outcome(verdict.outcome.value, f"by rule {verdict.rule}")
        for reason in verdict.reasons:
            screen.line(f"  {reason}")


def _say_trend(screen: Screen, found: Trend) -> None:
    from seatrial_ci.gate.wording import between, show

    stamp = f" [{found.stamp}]" if found.stamp else ""
    changes = {change.point.trial_id: change for change in found.changes}
    rows = [
        (
            _when(point.unix_ns),
            show(point.value, point.unit),  # type: ignore[arg-type]
            between(point.low, point.high, point.unit),  # type: ignore[arg-type]
            point.outcome or "-",
            (point.commit or "-")[:12],
            point.trial_id[:8],
            _change(changes.get(point.trial_id)),
        )
        for point in found.points
    ]
    heads = ("when", "", "95 %", "verdict", "commit", "trial", "")
    screen.table(heads, rows, title=f"{found.candidate}.{found.target} on {found.device}{stamp}", whole=2)


def _change(change: Change | None) -> str:
    from seatrial_ci.gate.wording import show

    if change is None:
        return ""
    said = f"<- {show(change.shift, 'relative')} from here"
    return f"{said}: {change.unlike}" if change.unlike else f"{said} (p = {change.p:.3f})"


def _row(entry: Entry) -> tuple[str, ...]:
    candidate = f"{entry.candidate}.{entry.target}"
    device = f"{entry.device} [{entry.stamp}]" if entry.stamp else entry.device
    when = _when(entry.started_unix_ns)
    baseline = f"{entry.baseline}.{entry.baseline_target}" if entry.baseline else "-"
    return when, entry.outcome, candidate, baseline, device, entry.trial_id[:8]


def _when(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
