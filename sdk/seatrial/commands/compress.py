"""seatrial compress: a model source and a recipe make one smaller or faster model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import click

from seatrial_targets.errors import UserError

from .command import Command
from .compression_table import say_record
from .files import prepare
from .options import FILE, complete_devices, complete_targets, devices_file
from .progress import shown
from .screen import Screen

NEEDED = ("torch", "torchao", "torch_pruning", "safetensors")  # of the extra [compress]


def complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of ready recipes that begin so."""
    from seatrial.compression.recipes import names

    return [name for name in names() if name.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("source")
@click.option(
    "--recipe", required=True, type=FILE, metavar="FILE", shell_complete=complete_recipes,
    help="The recipe: a YAML file, or the name of a ready one, such as int8 or minilm-4bit.",
)  # fmt: skip
@click.option("--out", type=FILE, metavar="FILE", help="Where the compressed model goes.  [default: RECIPE.pt2]")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", shell_complete=complete_targets,
    help="Target that must be able to carry every step; repeatable. Added to the recipe's.",
)  # fmt: skip
@click.option(
    "--device", default="", metavar="NAME", shell_complete=complete_devices, help="Measure latency there, step by step."
)
@devices_file
@click.option("--resume", is_flag=True, help="Go on after the last finished step of a compression that was cut short.")
@click.pass_obj
def compress(
    screen: Screen,
    source: str,
    recipe: Path,
    out: Path | None,
    targets: tuple[str, ...],
    device: str,
    devices_file: Path | None,
    resume: bool,
) -> None:
    """Compress SOURCE, which is `module:factory`, `file.py:factory`, a `.pt2` file or `hf:FOLDER`, by a recipe."""
    need_extra()
    path = out or Path(f"{recipe.stem}.pt2")
    if path.suffix != ".pt2":
        raise UserError(f"{path}: a compressed model is a .pt2; name it so")
    prepare([path])
    from seatrial import api

    with shown() as on_event:
        made = api.compress(
            source, recipe, path, targets=targets, device=device, inventory=devices_file, resume=resume,
            on_event=on_event,
        )  # fmt: skip
    screen.document({"path": str(path), "record": json.loads(made.record.json_text())})
    say_record(screen, made.record)
    screen.line(f"model     {path}")


def need_extra() -> None:
    """Raise UserError when a package of the extra is absent."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(
            f"compress needs {', '.join(absent)}, which is not installed; run: pip install 'seatrial[compress]'"
        )
