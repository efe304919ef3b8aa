"""The schemas for editors accept what we accept and refuse what a person mistypes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from seatrial_targets import registry
from seatrial_targets.errors import UnknownNameError
from seatrial_targets.schema import KINDS, json_schema
from seatrial_targets.yamltree import parse


def checker(kind: str) -> Any:
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def plain(text: str) -> Any:
    document = parse(text, "f.yaml")
    assert not document.problems
    return document.data


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_schema(kind: str) -> None:
    assert checker(kind)


@pytest.mark.parametrize("path", sorted(registry.BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_files_pass(path: Any) -> None:
    assert not list(checker("target").iter_errors(plain(path.read_text())))


@pytest.mark.parametrize("name", registry.names())
def test_resolved_targets_pass(name: str) -> None:
    assert not list(checker("target").iter_errors(registry.get(name).model_dump(mode="json", by_alias=True)))


@pytest.mark.parametrize(
    ("kind", "text", "where"),
    [
        ("target", "extends: x\nprecison: int8\n", []),
        ("target", "runtime: {thread: 3}\n", ["runtime"]),
        ("target", "precision: int4\n", ["precision"]),
        ("budgets", "latency_p50: 18\n", ["latency_p50"]),
        ("budgets", "latency_p50: 18 MB\n", ["latency_p50"]),
        ("budgets", "latency_p50_ns: 18\n", []),
        ("devices", "devices: {a: {target: x, transport: telnet}}\n", ["devices", "a", "transport"]),
        ("devices", "devices: {a: {target: x, transport: local, password: x}}\n", ["devices", "a"]),
        ("devices", "devices: {a b: {target: x, transport: local}}\n", ["devices"]),
    ],
)
def test_mistakes_are_found(kind: str, text: str, where: list[str]) -> None:
    errors = list(checker(kind).iter_errors(plain(text)))
    assert where in [list(error.absolute_path) for error in errors]


def test_good_budgets_and_devices_pass() -> None:
    assert not list(
        checker("budgets").iter_errors(plain("latency_p50: 18 ms\nregression: {margin: 5 %}\nsize: 1e3 kB\n"))
    )
    assert not list(checker("devices").iter_errors(plain("devices: {a: {target: x, transport: ssh, host: pi}}\n")))


def test_unknown_kind_suggests() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'target'"):
        json_schema("targets")
