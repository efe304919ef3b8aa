"""JSON Schemas of the files that people write, so that editors complete and check them while they type."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .budgets import Budgets
from .errors import UnknownNameError
from .inventory import Inventory
from .profile import TargetProfile

KINDS: dict[str, type[BaseModel]] = {"target": TargetProfile, "devices": Inventory, "budgets": Budgets}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file: target, devices or budgets. Raises UnknownNameError."""
    if kind not in KINDS:
        raise UnknownNameError("kind of file", kind, KINDS)
    schema = KINDS[kind].model_json_schema(by_alias=True, mode="validation")
    if kind == "target":
        _loosen(schema)
    if kind == "devices":
        schema["properties"]["devices"]["additionalProperties"] = False  # beside its patternProperties
    return {"$schema": DIALECT, **schema}


def _loosen(schema: dict[str, Any]) -> None:
    """Allow what a target file may leave to the family that it extends, and to its own file name."""
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "The family or target whose values this one starts from",
    }
    schema.pop("required", None)
    for part in ("DeviceClass", "RuntimeSpec", "Quantization", "Budgets"):
        schema["$defs"][part].pop("required", None)
