"""The record of a compression: what each step did, in figures. JSON beside the `.pt2`, and its heart inside it.

History of the format (key ``schema``):
- ``seatrial.compression/1``: first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seatrial_targets.errors import UserError

RECORD_SCHEMA: Literal["seatrial.compression/1"] = "seatrial.compression/1"
MAX_BYTES = 64 << 20


class RecordPart(BaseModel):
    """Frozen; an unknown key is an error; infinite numbers are written as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Latency(RecordPart):
    """Median latency on a device with its 95 % interval over runs, or the reason why there is none."""

    device: str
    target: str
    p50_ns: float | None = None
    low_ns: float | None = None
    high_ns: float | None = None
    runs: int = 0
    reason: str = ""
    stamp: str = ""  # not empty: a simulated or emulated device, whose latency says nothing


class Figures(RecordPart):
    """A model in numbers.

    ``size_bytes``: all weights and constants as they are stored. ``parameters``: elements of weights and biases,
    ``zeros`` those among them that are 0. ``macs``: multiply-accumulates for one call with the example inputs.
    ``quality``: against the original on ``checks``: sqnr_db, max_abs, top1_agreement. ``metrics``: the user's own.
    """

    size_bytes: Annotated[int, Field(ge=0)]
    parameters: Annotated[int, Field(ge=0)]
    zeros: Annotated[int, Field(ge=0)] = 0
    macs: Annotated[int, Field(ge=0)] = 0
    quality: dict[str, float] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    latency: tuple[Latency, ...] = ()


class StepReport(RecordPart):
    """What one step did. ``details`` is the step's own account, ``notes`` what a reader should know."""

    index: int
    kind: str
    settings: dict[str, Any]
    before: Figures
    after: Figures
    seconds: float
    peak_memory_bytes: int
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)


class Record(RecordPart):
    """Everything about a compression but the weights.

    ``edits`` are the changes of structure in their order: replayed on the original they give a model that the
    compressed weights fit into. ``remarks``: claims of methods that do not hold on the targets (claims.py).
    """

    schema_: Literal["seatrial.compression/1"] = Field(default=RECORD_SCHEMA, alias="schema")
    name: str
    recipe_name: str
    recipe: tuple[dict[str, Any], ...]
    recipe_digest: str
    seed: int = 0
    targets: tuple[str, ...] = ()
    form: Literal["float", "captured", "quantized"]
    original_digest: str
    original: Figures
    steps: tuple[StepReport, ...]
    edits: tuple[dict[str, Any], ...] = ()
    original_weights: str = ""  # name of the file beside the record that holds them
    weights_licence: str = ""
    remarks: tuple[str, ...] = ()
    toolchain: dict[str, str] = Field(default_factory=dict)

    def json_text(self) -> str:
        """Return the record as JSON."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read_record(path: Path) -> Record:
    """Return the record in a file. Raises UserError when it can't be read or is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than any record of a compression")
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: is no record of a compression: {where}: {first['msg']}") from error
