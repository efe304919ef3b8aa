"""MkDocs hook: writes the pages of the reference out of the program, its schemas and its docstrings.

A page holds a line `<!-- generated: cli -->`; what `PAGES` makes of that word takes its place when the site is built.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from typing import Any, TypedDict

import click

MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
NAMED_BLOCK = re.compile(r"^( *```\w+) file=\S+$", re.MULTILINE)
# Heading, "module:class" of the model (or of a function that returns it), what the file is.
FILES = (
    ("Target", "seatrial_targets.profile:TargetProfile", "`targets/NAME.yaml`, which you write."),
    ("Inventory", "seatrial_targets.inventory:Inventory", "`devices.yaml`, which you write."),
    ("Budgets", "seatrial_targets.budgets:Budgets", "`budgets.yaml`, which you write."),
    ("Policy", "seatrial_ci.policy:Policy", "`gate.yaml`, which you write."),
    ("Recipe", "seatrial.compression.recipe:file_model", "`recipe.yaml`, which you write for `seatrial compress`."),
    ("Manifest of a bundle", "seatrial_runner.manifest:Manifest", "`manifest.json`, which `seatrial export` writes."),
    (
        "Engine build",
        "seatrial_runner.enginebuild:EngineBuild",
        "`build.json` in bundles for TensorRT, which `seatrial export` writes.",
    ),
    ("Trial", "seatrial_runner.records:Trial", "`trial.json`, which `seatrial bench` and `seatrial gate` write."),
    ("Verdict", "seatrial_ci.gate:Verdict", "`--verdict-json`, and what `seatrial gate --json` prints."),
)


class Option(TypedDict):
    """A row of an option's table."""

    names: str
    help: str


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated text into a page that asks for it (called by MkDocs).

    The name of a block's file, which the tests read, is taken out: Python-Markdown would see no block at all.
    """
    return MARKER.sub(lambda found: "\n".join(PAGES[found[1]]()), NAMED_BLOCK.sub(r"\1", markdown))


def cli() -> Iterator[str]:
    """Yield the page of all commands."""
    from seatrial.cli import cli as program

    with click.Context(program, info_name="seatrial") as context:
        for name in program.list_commands(context):
            command = program.get_command(context, name)
            if command is not None:
                yield from _command(command, context, name)


def _command(command: click.Command, parent: click.Context, name: str, level: int = 2) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent) as context:
        yield f"{'#' * level} {context.command_path}\n"
        yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
        yield inspect.cleandoc(command.help or "") + "\n"
        yield from _options(command, context)
        if command.epilog:
            yield f"{command.epilog}\n"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                if found is not None:
                    yield from _command(found, context, inner, level + 1)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    found = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [Option(names=record[0], help=record[1]) for record in found if record]
    if rows:
        yield "| option | what |\n|---|---|"
        yield from (f"| `{_cell(row['names'])}` | {_cell(row['help'])} |" for row in rows)
        yield ""


def files() -> Iterator[str]:
    """Yield the page of all files."""
    for heading, place, what in FILES:
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        model = found if inspect.isclass(found) else found()
        schema = model.model_json_schema(by_alias=True)
        parts = {part: inner for part, inner in schema.get("$defs", {}).items() if "properties" in inner}
        yield f"## {heading}\n\n{what}\n"
        yield from _linked(_object(schema), heading, parts)
        for part, inner in parts.items():
            yield f"### {heading}: {part}\n"
            yield from _linked(_object(inner), heading, parts)


def _linked(lines: Iterator[str], heading: str, parts: Collection[str]) -> Iterator[str]:
    """Let the name of a part lead to its heading on the page."""
    start = heading.lower().replace(" ", "-")

    def link(found: re.Match[str]) -> str:
        return f"[{found[0]}](#{start}-{found[1].lower()})" if found[1] in parts else found[0]

    yield from (re.sub(r"\*(\w+)\*", link, line) for line in lines)


def _object(schema: Mapping[str, Any]) -> Iterator[str]:
    yield inspect.cleandoc(schema.get("description", "")) + "\n"
    required = set(schema.get("required", ()))
    yield "| key | value | default |\n|---|---|---|"
    for key, value in schema["properties"].items():
        default = "required" if key in required else _default(value)
        yield f"| `{key}` | {_cell(_type(value))} | {_cell(default)} |"
    yield ""


def _default(value: Mapping[str, Any]) -> str:
    found = value.get("default")
    text = json.dumps(found)  # as it is written in YAML, not in Python
    return "" if found in (None, "", [], {}) or len(text) > 60 else f"`{text}`"


def _type(value: Mapping[str, Any]) -> str:
    """Return in words what a value may be: 'text', 'list of integer', 'text or number', 'one of `a`, `b`'."""
    if "$ref" in value:
        return f"*{value['$ref'].rpartition('/')[2]}*"
    if "enum" in value or "const" in value:
        return "one of " + ", ".join(
            f"`{each}`" if each != "" else "empty text" for each in value.get("enum", [value.get("const")])
        )
    for key in ("anyOf", "oneOf", "allOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_type(each) for each in value[key] if each.get("type") != "null"))
    kind = value.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(_type({**value, "type": each}) for each in kind)
    if kind == "array":
        return f"list of {_type(value['items'])}" if "items" in value else "list"
    if kind == "object":
        inner = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), None)
        return f"map of name to {_type(inner)}" if isinstance(inner, dict) else "map"
    examples = value.get("examples", ()) if kind == "string" else ()
    said = f", such as {', '.join(f'`{each}`' for each in examples)}" if examples else ""
    return {"string": "text"}.get(kind, kind) + said


def python() -> Iterator[str]:
    """Yield the page of the public names."""
    import seatrial

    for name in (each for each in seatrial.__all__ if not each.startswith("_")):
        found = getattr(seatrial, name)
        yield f"## seatrial.{name}\n"
        if inspect.isroutine(found):
            yield f"```python\n{name}{_signature(found)}\n```\n"
        yield _docstring(found)
        if inspect.isclass(found):
            yield from _methods(found)


def _methods(found: type) -> Iterator[str]:
    for name, method in vars(found).items():
        function = inspect.unwrap(getattr(method, "__func__", method))
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            text = " ".join(inspect.cleandoc(function.__doc__).split())
            yield f"- `{name}{_unquoted(str(inspect.signature(function)))}`: {text}"
    yield ""


def _signature(function: Callable[..., Any]) -> str:
    text = _unquoted(str(inspect.signature(function)))
    return text if len(text) < 90 else "(\n    " + ",\n    ".join(_arguments(function)) + f",\n){_returns(function)}"


def _unquoted(signature: str) -> str:
    """Annotations are kept as text, which `str` shows in quotes."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)


def _arguments(function: Callable[..., Any]) -> list[str]:
    found, keyword = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            found.append("*")
        found.append(_unquoted(str(parameter)))
    return found


def _returns(function: Callable[..., Any]) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {annotation}"


def _docstring(found: object) -> str:
    """Return a docstring as Markdown: what is a session at the prompt becomes a block of code."""
    text = inspect.getdoc(found) or ""
    return re.sub(r"((?:^(?:>>>|\.\.\. ).*\n?)+)", r"```python\n\1\n```\n", text, flags=re.MULTILINE) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {"cli": cli, "files": files, "python": python}
