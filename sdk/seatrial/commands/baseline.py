"""seatrial baseline: bundles that passed their gate, kept by content, found by tag, branch or release."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Group
from .options import FILE, FOLDER
from .remembering import PLACE, Memory
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.baselines import Kept
    from seatrial_ci.gate import Verdict

store_option = click.option(
    "--store", metavar="PLACE", help="A folder, or a URL such as s3://bucket/folder.  [default: the user's own]"
)


@click.group(cls=Group)
def baseline() -> None:
    """Bundles that later ones are compared with, found by tag, branch or release."""


@baseline.command()
@click.argument("bundle", type=FOLDER)
@click.option("--tag", metavar="NAME", help="Under this tag, which never moves.")
@click.option("--branch", metavar="NAME", help="As the newest of this branch.")
@click.option("--release", metavar="NAME", help="Under this release, which never moves.")
@click.option(
    "--trial",
    type=FILE,
    metavar="FILE",
    help="The trial of its gate, which must say PASS.  [default: what the history knows of it]",
)
@click.option("--history", "history_url", metavar="URL", help=PLACE)
@click.option("--unproven", is_flag=True, help="Keep it without a verdict; no gate takes it by reference.")
@store_option
@click.pass_obj
def add(
    screen: Screen,
    /,
    bundle: Path,
    trial: Path | None,
    history_url: str | None,
    unproven: bool,
    store: str | None,
    **labels: str | None,
) -> None:
    """Keep BUNDLE, which passed its gate, as a baseline."""
    from seatrial_ci.baselines import Baselines
    from seatrial_runner.bundle import Bundle

    named = {kind: name for kind, name in labels.items() if name}
    if not named:
        raise UserError("under what name? give --tag, --branch or --release")
    opened = Bundle.open(bundle)
    verdict = _verdict(trial, opened.digest) if trial else _remembered(screen, opened.digest, history_url)
    kept = Baselines.open(store).put(opened, named, verdict, unproven)
    screen.document(json.loads(kept.model_dump_json()))
    names = ", ".join(f"{kind}:{name}" for kind, name in named.items())
    screen.line(f"{kept.name}.{kept.target} ({kept.digest[:16]}) is kept as {names}")


@baseline.command("list")
@store_option
@click.pass_obj
def list_(screen: Screen, /, store: str | None) -> None:
    """List the kept bundles, newest first."""
    from seatrial_ci.baselines import Baselines

    opened = Baselines.open(store)
    found, references = opened.list(), opened.references()
    named = [
        (kept, [ref.split(" ")[0] for ref, digest in references.items() if digest == kept.digest]) for kept in found
    ]
    screen.document([{**json.loads(kept.model_dump_json()), "references": refs} for kept, refs in named])
    if not named:
        screen.line("nothing yet; `seatrial baseline add BUNDLE --branch main` keeps one that passed its gate")
        return
    screen.table(
        ("bundle", "digest", "named", "its gate", "added"), [_row(kept, refs) for kept, refs in named], whole=2
    )


@baseline.command()
@click.argument("reference")
@click.option("--model", required=True, metavar="NAME", help="Name of the bundle.")
@click.option("--target", required=True, metavar="NAME", help="Its target.")
@click.option("--out", type=FOLDER, required=True, metavar="FOLDER", help="Where to put a copy.")
@click.option("--unproven", is_flag=True, help="Also one that did not pass its gate.")
@store_option
@click.pass_obj
def get(
    screen: Screen, /, reference: str, model: str, target: str, out: Path, unproven: bool, store: str | None
) -> None:
    """Copy the bundle that REFERENCE (tag:, branch:, release: or digest: and a name) means to a folder."""
    import shutil

    from seatrial_ci.baselines import Baselines
    from seatrial_runner.bundle import Bundle

    found = Baselines.open(store).find(reference, model, target, allow_unproven=unproven)
    if out.exists():
        raise UserError(f"{out}: exists already; name a new folder")
    shutil.copytree(found, out)
    opened = Bundle.open(out)
    screen.document({"path": str(out), "digest": opened.digest})
    screen.line(f"{out}: {opened.manifest.name}.{opened.manifest.target}, digest {opened.digest[:16]}")


@baseline.command()
@click.argument("digest")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@click.pass_obj
def remove(screen: Screen, /, digest: str, yes: bool, store: str | None) -> None:
    """Remove the bundle of DIGEST (its first 8 digits or more) and all its names."""
    from seatrial_ci.baselines import Baselines

    if not yes:
        click.confirm(f"Remove the baseline {digest}? Trials and history stay", abort=True, err=True)
    kept = Baselines.open(store).remove(digest)
    screen.document(json.loads(kept.model_dump_json()))
    screen.line(f"{kept.name}.{kept.target} ({kept.digest[:16]}) is removed")


def _verdict(trial: Path, digest: str) -> Verdict:
    from seatrial import api

    recorded, verdict = api.judge_file(trial)
    if recorded.bundles["candidate"].digest != digest:
        raise UserError(f"{trial}: is a trial of another bundle ({recorded.bundles['candidate'].digest[:16]})")
    return verdict


def _remembered(screen: Screen, digest: str, url: str | None) -> Verdict | None:
    with Memory(url, off=False, labels=()).asked(screen) as history:
        return history.verdict_of(digest) if history else None


def _row(kept: Kept, references: list[str]) -> tuple[Any, ...]:
    when = datetime.fromtimestamp(kept.added_unix_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    gate = f"{kept.outcome or 'none'}{f' [{kept.stamp}]' if kept.stamp else ''}"
    return f"{kept.name}.{kept.target}", kept.digest[:16], ", ".join(references) or "-", gate, when
