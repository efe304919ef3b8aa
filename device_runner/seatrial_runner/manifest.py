"""The manifest of a bundle: what it holds, for which target, how it was made. Written by exporters, read by everyone.

History of the format (key ``schema``):
- ``seatrial.bundle/1``: first. Later, and only added to: ``artifact`` may name a folder, whose files are listed one by
  one (a Core ML ``.mlpackage``); an input may be an image; ``parity_unchecked`` says why there is no parity.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

BUNDLE_SCHEMA: Literal["seatrial.bundle/1"] = "seatrial.bundle/1"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DType = Literal[
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"
]


class ManifestPart(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(ManifestPart):
    """One file of the bundle: POSIX path inside it, sha256, size, and what it is for."""

    path: str
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    role: Literal["artifact", "golden_input", "golden_output", "reference_output", "record"]


class TensorEntry(ManifestPart):
    """One input or output of the model. ``shape`` holds ints, or names for dimensions that vary; ``golden_shape`` is
    that of the golden file. ``tolerance`` (outputs): the relative L2 error that a device may show against it. An image
    of Core ML is uint8, (height, width, 3) in red, green, blue, or (height, width)."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    golden_shape: tuple[int, ...]
    golden: str
    tolerance: float | None = None


class Manifest(ManifestPart):
    """Everything about a bundle but its bytes."""

    schema_: Literal["seatrial.bundle/1"] = Field(default=BUNDLE_SCHEMA, alias="schema")
    name: str
    target: str
    profile: dict[str, Any]  # the resolved TargetProfile, as JSON
    runtime: str
    precision: str
    artifact: str  # path of the file, or of the folder of files, that the runtime loads
    files: tuple[FileEntry, ...]
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    size_bytes: int  # of the artifact files together
    precision_summary: dict[str, int] = Field(
        default_factory=dict
    )  # e.g. {"int8": 49, "float32": 3} nodes with weights
    parity: dict[str, float] = Field(default_factory=dict)  # sqnr_db, max_abs, top1_agreement, images
    parity_unchecked: str = ""  # why parity is empty, where the exporter could not execute what it made
    accuracy: dict[str, float] = Field(default_factory=dict)
    toolchain: dict[str, str] = Field(default_factory=dict)
    model_digest: str = ""
    recipe_digest: str = ""
    weights_licence: str = ""
    notes: tuple[str, ...] = ()
