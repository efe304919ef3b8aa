"""Which targets there are: those we ship, and those of the user's folders and installed packages.

A target is the file `NAME.yaml`; `_NAME.yaml` is a family, which targets name in `extends` and nobody exports for.
Mappings of a target and its family merge key by key; everything else is replaced.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.resources
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError, UnknownNameError, UserError

if TYPE_CHECKING:
    from .profile import TargetProfile
    from .yamltree import Document

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
    from .located import validate  # here, since shell completion asks only for names
    from .profile import TargetProfile

    path = source_of(name)
    return validate(_resolved(path, ()), TargetProfile)


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
        return _written(Path(name))
    return _file(name, _files())


def _written(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError([f"{path}:1:1: there is no such file"])
    if path.name.startswith("_"):
        raise ConfigError([f"{path}:1:1: is a family, since its name begins with '_'; name a target that extends it"])
    return path


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
    """Yield each folder of targets once, the built-in one first. Raises UserError when the environment names none."""
    own = [Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
    for folder in own:
        if not folder.is_dir():
            raise UserError(f"{ENVIRONMENT} names {folder}, which is not a folder; correct or unset it")
    folders = [BUILT_IN, *_installed(), *own, *filter(Path.is_dir, [Path("targets")])]
    yield from {folder.resolve(): folder for folder in folders}.values()


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the folders of packages that name themselves under our entry point group."""
    entries = importlib.metadata.entry_points(group=ENTRY_POINTS)
    folders = [importlib.resources.files(entry.module) for entry in entries]
    return tuple(folder for folder in folders if isinstance(folder, Path))


def _resolved(path: Path, above: tuple[Path, ...]) -> Document:
    """Return the document in ``path`` merged over those that it extends; ``above`` are the files that led here."""
    from .located import read_text
    from .yamltree import merged, parse

    document = _named(parse(read_text(path), str(path)), path, family=bool(above))
    if not isinstance(document.data, dict) or "extends" not in document.data:
        return document
    extends = document.data.pop("extends")
    if not isinstance(extends, str):
        return document.with_problem(("extends",), "must be the name of one family or target")
    try:
        parent = _parent(extends, path)
    except UserError as error:
        return document.with_problem(("extends",), str(error))
    chain = (*above, path)
    if parent.resolve() in [file.resolve() for file in chain]:
        circle = " -> ".join(file.stem for file in (*chain, parent))
        return document.with_problem(("extends",), f"goes round in a circle: {circle}")
    return merged(_resolved(parent, chain), document)


def _named(document: Document, path: Path, family: bool) -> Document:
    """Give a target the name of its file; a family keeps none, so that a child never inherits it."""
    if not isinstance(document.data, dict):
        return document
    written = document.data.pop("name", path.stem)
    if not family:
        document.data["name"] = path.stem
    if written != path.stem:
        return document.with_problem(("name",), f"must be that of the file, {path.stem!r}, or be left out")
    return document


def _parent(name: str, child: Path) -> Path:
    files = _files()
    beside = child.parent / f"{name}.yaml"
    if re.fullmatch(r"[\w.-]+", name) and beside.is_file():
        return beside
    if name not in files:
        raise UnknownNameError("target or family", name, files)
    return _only(name, files)
