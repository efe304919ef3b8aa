"""seatrial history: what earlier gates said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .command import Group
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.history.store import Entry


@click.group(cls=Group)
def history() -> None:
    """What earlier gates said."""


@history.command("list")
@click.option("--history", "url", metavar="URL", help="SQLAlchemy URL or file.  [default: SQLite of the user]")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many.")
@click.option("--device", metavar="NAME", help="Only trials on this device.")
@click.option("--target", metavar="NAME", help="Only bundles of this target.")
@click.option("--candidate", metavar="NAME", help="Only trials of this bundle.")
@click.pass_obj
def list_(
    screen: Screen, /, url: str | None, limit: int, device: str | None, target: str | None, candidate: str | None
) -> None:
    """List trials and their verdicts, newest first."""
    from dataclasses import asdict

    from seatrial_ci.history import History

    with History.open(url) as kept:
        entries = kept.list(limit, device=device, target=target, candidate=candidate)
    screen.document([asdict(entry) for entry in entries])
    if not entries:
        screen.line("nothing yet; every `seatrial gate` on a device adds a line")
        return
    screen.table(("when", "", "candidate", "baseline", "device", "trial"), [_row(entry) for entry in entries])


def _row(entry: Entry) -> tuple[str, ...]:
    candidate = f"{entry.candidate}.{entry.target}"
    device = f"{entry.device} [{entry.stamp}]" if entry.stamp else entry.device
    when = _when(entry.started_unix_ns)
    return when, entry.outcome, candidate, entry.baseline or "-", device, entry.trial_id[:8]


def _when(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
