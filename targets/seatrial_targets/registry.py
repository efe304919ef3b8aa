"""Which targets there are: those we ship, and those of the user's folders and installed packages.

A target is the file `NAME.yaml`; `_NAME.yaml` is a family, which targets name in `extends` and nobody exports for.
Mappings of a target and its family merge key by key; everything else is replaced.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import ConfigError, UnknownNameError
from .located import read_text, validate
from .profile import TargetProfile
from .yamltree import Document, Problem, parse

ENVIRONMENT = "SEATRIAL_TARGETS"
ENTRY_POINTS = "seatrial.targets"
BUILT_IN = Path(__file__).with_name("profiles")


def names() -> tuple[str, ...]:
    """Return the names of all targets, sorted. Reads no file, so a broken one does not hide the others."""
    return tuple(sorted(name for name in _files() if not name.startswith("_")))


def get(name: str) -> TargetProfile:
    """Return a target by name, or by the path of its file if that ends in .yaml.

    Raises UnknownNameError, or ConfigError with every problem of its file and the families that it extends.
    """
    path = source_of(name)
    return validate(_resolved(path, ()), TargetProfile, str(path))


def listed() -> tuple[TargetProfile, ...]:
    """Return all targets, sorted by name. Raises ConfigError with the problems of all files together."""
    profiles: list[TargetProfile] = []
    problems: list[str] = []
    for name in names():
        try:
            profiles.append(get(name))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return tuple(profiles)


def source_of(name: str) -> Path:
    """Return the file of a target. Raises UnknownNameError, and ConfigError when two files claim the name."""
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise ConfigError([f"{name}:1:1: there is no such file"])
    return _file(name, _files())


def _file(name: str, files: dict[str, list[Path]]) -> Path:
    if name not in files or name.startswith("_"):
        known = [known for known in files if not known.startswith("_")]
        raise UnknownNameError("target", name, known, "`seatrial targets list` shows all")
    return _only(name, files)


def _only(name: str, files: dict[str, list[Path]]) -> Path:
    first, *others = files[name]
    if others:
        raise ConfigError([f"{other}:1:1: target {name!r} is also in {first}; rename one" for other in others])
    return first


def _files() -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.stem, []).append(path)
    return files


def _folders() -> Iterator[Path]:
    """Yield each folder of targets once, the built-in one first."""
    own = [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    folders = [BUILT_IN, *_installed(), *own, Path("targets")]
    yield from {folder.resolve(): folder for folder in reversed(folders) if folder.is_dir()}.values()


def _installed() -> Iterator[Path]:
    """Yield the folders of packages that name themselves under our entry point group."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        folder = importlib.resources.files(entry.module)
        if isinstance(folder, Path):
            yield folder


def _resolved(path: Path, above: tuple[Path, ...]) -> Document:
    """Return the document in ``path`` merged over those that it extends; ``above`` are the files that led here."""
    document = _named(parse(read_text(path), str(path)), path, family=bool(above))
    extends = document.data.pop("extends", None) if isinstance(document.data, dict) else None
    if extends is None:
        return document
    at = document.values[("extends",)]
    if not isinstance(extends, str):
        return _with_problem(document, Problem(at, "extends", "must be the name of one family or target"))
    try:
        parent = _parent(extends, path)
    except (UnknownNameError, ConfigError) as error:
        return _with_problem(document, Problem(at, "extends", str(error)))
    chain = (*above, path)
    if parent.resolve() in {file.resolve() for file in chain}:
        circle = " -> ".join(file.stem for file in (*chain, parent))
        return _with_problem(document, Problem(at, "extends", f"goes round in a circle: {circle}"))
    return _merged(_resolved(parent, chain), document)


def _named(document: Document, path: Path, family: bool) -> Document:
    """Give a target the name of its file; a family keeps none, so that a child never inherits it."""
    if not isinstance(document.data, dict):
        return document
    written = document.data.pop("name", path.stem)
    if written != path.stem:
        at = document.values[("name",)]
        return _with_problem(document, Problem(at, "name", f"must be that of the file, {path.stem!r}, or be left out"))
    if not family:
        document.data["name"] = path.stem
    return document


def _parent(name: str, child: Path) -> Path:
    beside = child.with_name(f"{name}.yaml")
    if beside.is_file():
        return beside
    files = _files()
    if name not in files:
        raise UnknownNameError("target or family", name, files)
    return _only(name, files)


def _with_problem(document: Document, problem: Problem) -> Document:
    return Document(document.data, document.keys, document.values, (*document.problems, problem))


def _merged(base: Document, over: Document) -> Document:
    if not isinstance(base.data, dict) or not isinstance(over.data, dict):
        return _with_problem(over, *base.problems[:1]) if base.problems else over
    return Document(
        _merge(base.data, over.data),
        {**base.keys, **over.keys},
        {**base.values, **over.values},
        (*base.problems, *over.problems),
    )


def _merge(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
