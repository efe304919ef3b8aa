"""Read a YAML file into a model; everything that is wrong with it is said at once, each with its place.

devices.yaml:4:5: devices.pi.adress: unknown key; did you mean 'address'?
devices.yaml:7:14: devices.pi.port: must be a whole number, not 'ssh'
"""

from __future__ import annotations

import codecs
import json
import pathlib
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import ConfigError, did_you_mean
from .units import FROM_FILE
from .yamltree import MAX_BYTES, Document, Path, Problem, key_name, parse

M = TypeVar("M", bound=BaseModel)


def load(path: pathlib.Path, model: type[M]) -> M:
    """Return the model in the file. Raises ConfigError with every problem, in the order of the file."""
    return loads(read_text(path), str(path), model)


def loads(text: str, source_name: str, model: type[M]) -> M:
    """Return the model in ``text``; ``source_name`` stands before each problem. Raises ConfigError."""
    return validate(parse(text, source_name), model)


def read_text(path: pathlib.Path) -> str:
    """Return the text of a file, without a byte order mark. Raises ConfigError if it can't be read or is not UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 4)
    except OSError as error:
        raise ConfigError([f"{path}:1:1: can't be read: {error.strerror or error}"]) from None
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError([f"{path}:1:1: the file is UTF-16; save it as UTF-8"])
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if len(raw) > MAX_BYTES and error.start >= MAX_BYTES:
            return raw[: error.start].decode()  # cut in the middle of a character; refused for its size later
        before = raw[: error.start].decode().splitlines() or [""]
        line, column = len(before), len(before[-1]) + 1
        raise ConfigError(
            [f"{path}:{line}:{column}: byte 0x{raw[error.start]:02x} is not UTF-8; save it as UTF-8"]
        ) from None


def validate(document: Document, model: type[M]) -> M:
    """Return the model in a parsed document, which may be merged from several files. Raises ConfigError."""
    problems = list(document.problems)
    if isinstance(document.data, dict):
        try:
            result = _strict(document.data, model)
        except ValidationError as error:
            spoiled = {problem.position for problem in problems}
            found = [_problem(document, model, detail) for detail in error.errors(include_url=False)]
            problems += [problem for problem in found if problem.position not in spoiled]
        else:
            if not problems:
                return result
    raise ConfigError(rendered(problems))


def _strict(data: dict[str, Any], model: type[M]) -> M:
    """Validate by way of JSON: strict there, pydantic still takes lists for tuples and mappings for models."""
    text = json.dumps(data)
    return model.model_validate_json(text, strict=True, context={FROM_FILE: True}, by_alias=True, by_name=False)


def rendered(problems: Iterable[Problem]) -> list[str]:
    """Return problems as lines, each once, in the order of the file."""
    return list(dict.fromkeys(str(problem) for problem in sorted(problems)))


def _problem(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    path, missing = _existing(document.data, detail["loc"])
    key = document.keys.get(path) or document.at(path)
    if detail["type"] == "extra_forbidden":
        return Problem(key, key_name(path), _unknown_key(model, path))
    if detail["type"] == "missing":
        return Problem(key, key_name((*path, *missing[-1:])), "is required")
    at_key = missing[-1:] == ("[key]",)
    return Problem(key if at_key else document.at(path), key_name(path), _wording(detail))


def _existing(data: Any, loc: Iterable[str | int]) -> tuple[Path, Path]:
    """Split pydantic's location into the path that the data has, and the rest; tags of unions are in neither."""
    path: Path = ()
    missing: Path = ()
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if inside:
            data, path = data[part], (*path, part)
        else:
            missing = (*missing, part)
    return path, missing


_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def _wording(detail: ErrorDetails) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        expected = str(context["expected"]).replace(" or ", ", ")
        choices = [choice.strip("'") for choice in expected.split(", ")]
        return f"{_shown(value)} is not one of {', '.join(choices)}{did_you_mean(str(value), choices)}"
    if kind == "greater_than":
        return f"must be above {context['gt']}"
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"must be text; put it in quotes: '{value}'"
    text = _WORDS.get(kind) or detail["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{text}, not {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_key(model: type[BaseModel], path: Path) -> str:
    parents: list[Any] = [model]
    for part in path[:-1]:
        parents = [inner for parent in parents for inner in _inside(parent, part)]
    models = [found for parent in parents for found in _models(parent)]
    key = str(path[-1])
    for found in models:
        if refusal := getattr(found, "refused", {}).get(key):
            return str(refusal)
    known = [known for found in models for known in _fields(found)]
    return "unknown key" + (did_you_mean(key, known) or f"; known: {', '.join(known)}")


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif _is_wrapper(annotation):
        for argument in typing.get_args(annotation):
            yield from _models(argument)


def _is_wrapper(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated)


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    """Yield the annotations of what stands under ``part`` of a model, mapping or sequence."""
    origin = typing.get_origin(annotation)
    if _is_wrapper(annotation):
        for argument in typing.get_args(annotation):
            yield from _inside(argument, part)
    elif origin in (dict, tuple, list):
        yield typing.get_args(annotation)[1 if origin is dict else 0]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in _fields(annotation):
        yield _fields(annotation)[str(part)]
