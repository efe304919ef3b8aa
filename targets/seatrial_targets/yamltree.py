"""YAML text to plain data, every value with its position; never an object, never more than a bounded amount.

PyYAML composes the tree (its SafeLoader, which also checks the syntax); scalars are read by the YAML 1.2 core schema,
so that `no` and `1:30` stay text. Tags are refused, merge keys are ordinary keys, aliases may expand only so far.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 19
MAX_DEPTH = 32
MAX_NODES = 50_000

Path = tuple[str | int, ...]
_TAG = "tag:yaml.org,2002:"
_IMPLICIT = {
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
}
_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: Mapping[str, bool | None] = {"": None, "~": None} | {
    spelling: value
    for word, value in {"null": None, "true": True, "false": False}.items()
    for spelling in (word, word.title(), word.upper())
}


@dataclass(frozen=True, order=True)
class Position:
    """A place in a source; line and column count from 1."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, where, and with which key."""

    position: Position
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.position}: {self.key}: {self.text}" if self.key else f"{self.position}: {self.text}"


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where each part of it stands.

    ``keys`` holds the position of each mapping key, ``values`` that of each value; both by path from the root.
    """

    data: Any
    keys: Mapping[Path, Position] = field(default_factory=dict)
    values: Mapping[Path, Position] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def with_problem(self, path: Path, text: str) -> Document:
        """Return the same document with one problem more, at the value under ``path``."""
        problem = Problem(self.at(path), key_name(path), text)
        return Document(self.data, self.keys, self.values, (*self.problems, problem))

    def at(self, path: Path) -> Position:
        """Return where the value under ``path`` stands; for a value that was added, where the document begins."""
        return self.values.get(path) or self.values[()]


def merged(base: Document, over: Document) -> Document:
    """Return ``over`` laid on ``base``: mappings merge key by key, all else is replaced. Problems of both remain."""
    return Document(
        _merge(base.data, over.data),
        {**base.keys, **over.keys},
        {**base.values, **over.values},
        (*base.problems, *over.problems),
    )


def _merge(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: _merge(base.get(key), value) for key, value in over.items()}


class _StopError(Exception):
    """Composing can't go on; carries the index into the text and what is wrong."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self.index, self.text = index, text


class _Lines:
    """Turns an index into the text into line and column as editors count them."""

    def __init__(self, text: str, source: str) -> None:
        self.source, self.length = source, len(text)
        self.starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def at(self, index: int) -> Position:
        """Return the position of the character at ``index``; outside of the text it is that of the nearer end."""
        index = max(0, min(index, self.length))
        line = bisect.bisect_right(self.starts, index)
        return Position(self.source, line, index - self.starts[line - 1] + 1)


class _Loader(yaml.SafeLoader):
    """SafeLoader that stops at MAX_DEPTH instead of at Python's recursion limit."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _StopError(
                self.peek_event().start_mark.index,  # type: ignore[no-untyped-call]
                f"nested more than {MAX_DEPTH} deep",
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def key_name(path: Path) -> str:
    """Return a path as people write it.

    >>> key_name(("devices", "pi", "tags", 0))
    'devices.pi.tags[0]'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def parse(text: str, source: str) -> Document:
    """Return the document in ``text``. What is wrong with it is in its ``problems``; nothing is raised."""
    lines = _Lines(text, source)
    if len(text) > MAX_BYTES:
        return _failed(lines.at(MAX_BYTES), f"the file is larger than {MAX_BYTES} bytes")
    try:
        root = _compose(text)
    except _StopError as stop:
        return _failed(lines.at(stop.index), stop.text)
    if root is None:
        return _failed(lines.at(0), "the file is empty; a mapping (`key: value` lines) is expected")
    return _Reader(lines).document(root)


def _failed(position: Position, text: str) -> Document:
    return Document(None, problems=(Problem(position, "", text),))


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _StopError(mark.index if mark else 0, _syntax(error, text)) from None
    except yaml.reader.ReaderError as error:
        shown = f"character U+{error.character:04X}" if isinstance(error.character, int) else "character"
        raise _StopError(error.position, f"{shown} is not allowed in YAML") from None
    except (ValueError, OverflowError) as error:  # PyYAML: chr() of an escape such as "\\UFFFFFFFF"
        raise _StopError(0, f"not YAML: {error}") from None


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    if mark and text[mark.index : mark.index + 1] == "\t":
        return "a tab can't indent in YAML; use spaces"
    problem = error.problem or "the syntax is wrong"
    if "expected a single document" in (error.context or ""):
        return "a second document begins here; one file holds one"
    if "mapping values are not allowed" in problem:
        return f"{problem}; is the line above indented as it should, or does a value with ': ' need quotes?"
    return f"not YAML: {problem}" + (f" ({error.context})" if error.context else "")


class _Reader:
    """Walks a node tree once and notes positions and problems."""

    def __init__(self, lines: _Lines) -> None:
        self.lines = lines
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.problems: list[Problem] = []
        self.nodes = 0
        self.open: set[int] = set()

    def document(self, root: yaml.Node) -> Document:
        """Return the whole file; one that can not be read to its end has no data, and a problem that says why."""
        try:
            data = self.read(root, ())
        except _StopError as stop:
            return _failed(self.lines.at(stop.index), stop.text)
        if not isinstance(root, yaml.MappingNode):
            self.wrong(root.start_mark.index, (), "a mapping (`key: value` lines) is expected here")
        return Document(data, self.keys, self.values, tuple(self.problems))

    def read(self, node: yaml.Node, path: Path) -> Any:
        """Return the plain value of a node; raise _StopError when the file is endless, or deep beyond measure."""
        start = node.start_mark.index
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _StopError(start, f"more than {MAX_NODES} values, aliases expanded")
        if id(node) in self.open:
            raise _StopError(start, "an alias holds itself")
        if len(path) > MAX_DEPTH:
            raise _StopError(start, f"nested more than {MAX_DEPTH} deep")
        self.values[path] = self.lines.at(start)
        if node.tag not in _IMPLICIT:
            return self.wrong(
                start, path, f"the tag {node.tag.replace(_TAG, '!!')!r} is not allowed; write plain values"
            )
        self.open.add(id(node))
        value = self.kind(node)(node, path)
        self.open.discard(id(node))
        return value

    def kind(self, node: yaml.Node) -> Callable[[Any, Path], Any]:
        """Return what reads a node of this kind."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping
        return self.sequence if isinstance(node, yaml.SequenceNode) else self.scalar

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        return {key: self.read(value, (*path, key)) for key, value in self.entries(node, path)}

    def entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the keys that are text and stand there for the first time; note the others as problems."""
        seen: dict[str, Position] = {}
        for key_node, value in node.value:
            start = key_node.start_mark.index
            key = self.scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.wrong(start, path, "a key must be text; put it in quotes")
            elif key in seen:
                self.wrong(start, (*path, key), f"duplicate key; it is also in line {seen[key].line}")
            else:
                seen[key] = self.keys[(*path, key)] = self.lines.at(start)
                yield key, value

    def sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        """Return a scalar as YAML 1.2's core schema has it: text in quotes stays text."""
        text, start = node.value, node.start_mark.index
        if any("\ud800" <= char <= "\udfff" or (char < " " and char not in "\t\n") for char in text):
            return self.wrong(start, path, "the text holds a control character or half a character")
        if node.style is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text) if len(text) <= 20 else self.wrong(start, path, "the number is too large")
        if _FLOAT.fullmatch(text):
            value = float(text)
            return value if abs(value) < 1e300 else self.wrong(start, path, "the number is too large")
        return text

    def wrong(self, index: int, path: Path, text: str) -> None:
        """Note a problem; returns None, the value of what is wrong."""
        self.problems.append(Problem(self.lines.at(index), key_name(path), text))
