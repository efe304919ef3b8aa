"""YAML to models: every problem at once, each at a place that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import ConfigError
from seatrial_targets.inventory import Inventory
from seatrial_targets.located import load, loads
from seatrial_targets.profile import TargetProfile
from seatrial_targets.spec import Spec
from seatrial_targets.units import DurationNs


class Inner(Spec):
    """Something nested."""

    level: int = 0
    wait_ns: DurationNs = 0


class Outer(Spec):
    """A bit of everything."""

    title: str
    on: bool = False
    inner: Inner | None = None
    many: dict[str, Inner] = Field(default_factory=dict)
    row: tuple[Inner, ...] = ()
    ratio: float = 0.0


def problems_of(text: str, model: type[Any] = Outer) -> tuple[str, ...]:
    try:
        loads(text, "f.yaml", model)
    except ConfigError as error:
        return error.problems
    return ()


def problems(text: str) -> list[str]:
    found = problems_of(text)
    assert found
    return list(found)


def test_a_good_file() -> None:
    got = loads("title: a\ninner: {level: 3, wait: 2 ms}\nmany:\n  x: {level: 1}\nrow:\n- level: 2\n", "f.yaml", Outer)
    assert got == Outer(
        title="a", inner=Inner(level=3, wait_ns=2_000_000), many={"x": Inner(level=1)}, row=(Inner(level=2),)
    )


def test_every_problem_at_once_in_the_order_of_the_file() -> None:
    text = "titel: a\non: yes\ninner:\n  levle: 3\n  wait: 18\nmany:\n  x:\n    level: high\nrow:\n  - level: 1.5\n"
    assert problems(text) == [
        "f.yaml:1:1: titel: unknown key; did you mean 'title'?",
        "f.yaml:1:1: title: is required",
        "f.yaml:2:5: on: must be true or false, not 'yes'",
        "f.yaml:4:3: inner.levle: unknown key; did you mean 'level'?",
        "f.yaml:5:9: inner.wait: 18 has no unit; write '18 ms'",
        "f.yaml:8:12: many.x.level: must be a whole number, not 'high'",
        "f.yaml:10:12: row[0].level: must be a whole number, not 1.5",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f.yaml:1:1: the file is empty; a mapping (`key: value` lines) is expected"),
        ("# only a comment\n", "f.yaml:1:1: the file is empty; a mapping (`key: value` lines) is expected"),
        ("~", "f.yaml:1:1: a mapping (`key: value` lines) is expected here"),
        ("- a\n", "f.yaml:1:1: a mapping (`key: value` lines) is expected here"),
        ("title: a\ntitle: b\n", "f.yaml:2:1: title: duplicate key; it is also in line 1"),
        ("title: a\ninner:\n\tlevel: 1\n", "f.yaml:3:1: a tab can't indent in YAML; use spaces"),
        ("title: a\n---\ntitle: b\n", "f.yaml:2:1: a second document begins here; one file holds one"),
        ("title: a\n5: b\n", "f.yaml:2:1: a key must be text; put it in quotes"),
        ("title: a\n[x]: b\n", "f.yaml:2:1: a key must be text; put it in quotes"),
        ("title: !!python/object/apply:os.system [id]\n", "f.yaml:1:8: title: the tag '!!python/object/apply:os.system'"
         " is not allowed; write plain values"),
        ("title: !secret x\n", "f.yaml:1:8: title: the tag '!secret' is not allowed; write plain values"),
        ("title: 5\n", "f.yaml:1:8: title: must be text; put it in quotes: '5'"),
        ("title:\n", "f.yaml:1:7: title: must be text, not nothing"),
        ('title: "a\\x00b"\n', "f.yaml:1:8: title: the text holds a control character or half a character"),
        ('title: "\\ud800"\n', "f.yaml:1:8: title: the text holds a control character or half a character"),
        ("title: a\ninner: {level: " + "9" * 5000 + "}\n", "f.yaml:2:16: inner.level: the number is too large"),
        ("title: a\nratio: 1e999\n", "f.yaml:2:8: ratio: the number is too large"),
        ("title: a\nratio: .nan\n", "f.yaml:2:8: ratio: must be a number, not '.nan'"),
        ("title: a\nfoo: 1\n", "f.yaml:2:1: foo: unknown key; known: title, on, inner, many, row, ratio"),
        ("title: a\n<<: {on: true}\n", "f.yaml:2:1: <<: unknown key; known: title, on, inner, many, row, ratio"),
        ("title: a\nmany: &x {y: *x}\n", "f.yaml:2:7: an alias holds itself"),
        ("title: a\ninner: *nowhere\n", "f.yaml:2:8: not YAML: found undefined alias 'nowhere'"),
        ("title: a\x00", "f.yaml:1:9: character U+0000 is not allowed in YAML"),
        ("title: a\ninner: {wait_ns: 5}\n", "f.yaml:2:9: inner.wait_ns: unknown key; did you mean 'wait'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_where(text: str, problem: str) -> None:
    assert problem in problems(text)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_places_are_those_of_an_editor(line_end: str) -> None:
    text = line_end.join(["# ä🚢", "title: a", "", "inner:", "  level: ä"])
    assert problems(text) == ["f.yaml:5:10: inner.level: must be a whole number, not 'ä'"]


def test_words_of_yaml_1_1_stay_text() -> None:
    for word in ("no", "off", "1:30", "2024-01-01", "010x", "0x1F", "1_000"):
        assert loads(f"title: {word}\n", "f.yaml", Outer).title == word


def test_aliases_stand_for_their_anchor() -> None:
    got = loads("title: &t a\nmany: {x: &i {level: 2}, y: *i}\n", "f.yaml", Outer)
    assert got.many["x"] == got.many["y"] == Inner(level=2)


def test_alias_bomb_is_bounded() -> None:
    lines = ["title: a", "many: {}", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    (problem,) = problems("\n".join(lines))
    assert problem.endswith("more than 50000 values, aliases expanded")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000, "- " * 5000, "? " * 5000])
def test_deep_nesting_is_bounded(text: str) -> None:
    (problem,) = problems(text)
    assert "nested more than 32 deep" in problem


def test_alias_nesting_is_bounded() -> None:
    lines = ["title: &a0 [x]"] + [f"k{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    assert any("nested more than 32 deep" in problem for problem in problems("\n".join(lines)))


def test_huge_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 34)  # 16 GiB, sparse
    with pytest.raises(ConfigError, match=r"huge.yaml:1:524289: the file is larger than 524288 bytes"):
        load(path, Outer)


def test_byte_order_mark_is_not_a_column(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbftitle: 5\n")
    with pytest.raises(ConfigError, match=r"f\.yaml:1:8: title: must be text"):
        load(path, Outer)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"title: a\non: \xff\n", r"f\.yaml:2:5: byte 0xff is not UTF-8"),
        (b"\xff\xfet\x00", r"f\.yaml:1:1: the file is UTF-16"),
        (b"\xff", r"f\.yaml:1:1: byte 0xff is not UTF-8"),
    ],
)
def test_other_encodings(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=message):
        load(path, Outer)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: can't be read: No such file"):
        load(tmp_path / "none.yaml", Outer)
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path, Outer)


MODELS = st.sampled_from([Outer, Budgets, Inventory, TargetProfile])
KEYS = st.sampled_from(["title", "inner", "many", "latency_p50", "devices", "target", "shapes", "extends", "x", "5"])
SCALARS = st.sampled_from(
    ["a", "18 ms", "18", "~", "*a", "&a b", "'q", "[1, 2]", "{a: 1}", "!t v", '"\\UFFFFFFFF"', "|"]
)
LINES = st.builds(lambda indent, key, value: f"{' ' * indent}{key}: {value}", st.integers(0, 4), KEYS, SCALARS)
YAMLISH = st.lists(LINES, max_size=12).map("\n".join)
CHARACTERS = st.text(
    alphabet=st.sampled_from(list("ab:-?,[]{}#&*!|>'\"%@` \t\n\r0.~<=\\u\x85\u2028\ufeffé")), max_size=60
)


@settings(deadline=None)
@given(st.one_of(st.text(), CHARACTERS, YAMLISH), MODELS)
@example('"\\UFFFFFFFF"', Outer)
@example('"\\U00110000": 1', Outer)
@example("!<", Outer)
@example("%YAML 9.9\n---\na", Outer)
def test_any_text_gives_a_model_or_located_problems(text: str, model: type[Any]) -> None:
    lines = re.split(r"\r\n|\r|\n", text)
    for problem in problems_of(text, model):
        place = re.match(r"f\.yaml:(\d+):(\d+): .", problem)
        assert place, problem
        line, column = int(place[1]), int(place[2])
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
