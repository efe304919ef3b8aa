"""The base of everything that is read from YAML: frozen, no unknown keys, and keys without unit suffixes.

A field is named with its unit (`latency_p50_ns`); its key in a file is not (`latency_p50: 18 ms`), since there the
value carries the unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

_UNIT_SUFFIXES = ("_ns", "_bytes", "_mj", "_db", "_c", "_hz", "_v")


def yaml_key(field: str) -> str:
    """Return the key of a field in a file.

    >>> yaml_key("latency_p50_ns"), yaml_key("opset")
    ('latency_p50', 'opset')
    """
    for suffix in _UNIT_SUFFIXES:
        if field.endswith(suffix):
            return field.removesuffix(suffix)
    return field


class Spec(BaseModel):
    """Frozen; Python code gives fields by name, files by key; an unknown key is an error.

    ``refused`` holds keys that people try, and what to do instead: the message for them.
    """

    refused: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=yaml_key, populate_by_name=True, ser_json_inf_nan="strings"
    )
