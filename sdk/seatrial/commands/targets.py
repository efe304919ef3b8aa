"""seatrial targets: the device classes that models are exported for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .command import Group
from .options import FILE, complete_targets
from .screen import Screen

KINDS = ("target", "devices", "budgets")


@click.group(cls=Group)
def targets() -> None:
    """Device classes that models are exported for. Yours go into ./targets/*.yaml."""


@targets.command("list")
@click.pass_obj
def list_(screen: Screen) -> None:
    """List all targets, those of your own folders too."""
    from seatrial.exporters import TABLE
    from seatrial_targets import registry

    profiles = registry.listed()
    screen.document([dump(profile) for profile in profiles])
    rows = [(p.name, p.runtime.name, "yes" if p.runtime.name in TABLE else "not yet", p.summary) for p in profiles]
    screen.table(("target", "runtime", "exported", "summary"), rows)


@targets.command()
@click.argument("name", shell_complete=complete_targets)
@click.pass_obj
def show(screen: Screen, name: str) -> None:
    """Show a target, resolved: with all that it inherits."""
    from seatrial_targets import registry

    profile = registry.get(name)
    screen.document(dump(profile))
    screen.line(f"# {registry.source_of(name)}, resolved")
    screen.line(_yaml(dump(profile)))


@targets.command()
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.pass_obj
def check(screen: Screen, files: tuple[Path, ...]) -> None:
    """Check target FILES; every problem is said with its place."""
    from seatrial_targets import registry
    from seatrial_targets.errors import ConfigError

    found: list[dict[str, str]] = []
    problems: list[str] = []
    for path in files:
        try:
            found.append({"file": str(path), "name": registry.get(_as_file(path)).name})
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    screen.document(found)
    for each in found:
        screen.line(f"{each['file']}: target {each['name']} is valid")


@targets.command()
@click.argument("kind", type=click.Choice(KINDS), default="target")
@click.pass_obj
def schema(screen: Screen, kind: str) -> None:
    """Print the JSON Schema of target, devices or budgets files, for editors."""
    import json

    from seatrial_targets.schema import json_schema

    document = json_schema(kind)
    screen.document(document)
    screen.line(json.dumps(document, indent=1))


def dump(profile: Any) -> dict[str, Any]:
    """Return a profile as JSON, with units in its values."""
    fields: dict[str, Any] = profile.model_dump(mode="json", by_alias=True)
    return fields


def _as_file(path: Path) -> str:
    from seatrial_targets.errors import UserError

    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: a target is a .yaml file; rename it")
    return str(path)


def _yaml(value: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(_without_nothing(value), sort_keys=False, allow_unicode=True, width=110).rstrip()


def _without_nothing(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: _without_nothing(inner) for key, inner in value.items()}
    return {key: inner for key, inner in kept.items() if inner not in (None, "", [], {})}
