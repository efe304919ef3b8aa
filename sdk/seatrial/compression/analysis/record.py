"""What an analysis says, as frozen data and JSON.

History of the format (key ``schema``):
- ``seatrial.analysis/1``: first.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..record import RecordPart

SCHEMA: Literal["seatrial.analysis/1"] = "seatrial.analysis/1"


class LayerFigures(RecordPart):
    """One layer with weights.

    ``size_bytes``: of its weight and bias as they are stored. ``macs``: multiply-accumulates in one call with the
    example inputs. SQNRs in dB, None where not measured: ``weight_sqnr_db``, its weight rounded to INT8 against itself;
    ``alone_sqnr_db``, the model's output when this layer alone is INT8; ``output_sqnr_db``, this layer's output in the
    quantized model, with all errors before it. ``noise_share``: its part of the noise that all layers alone add up to.
    """

    path: str
    kind: str
    weight_shape: tuple[int, ...]
    parameters: int
    size_bytes: int
    macs: int
    weight_sqnr_db: float | None = None
    alone_sqnr_db: float | None = None
    output_sqnr_db: float | None = None
    noise_share: float | None = None


class Analysis(RecordPart):
    """All layers, in the order in which the model calls them.

    ``quantized`` says what ``output_sqnr_db`` is of: "emulated" (INT8 with plain settings, for this analysis), or "as
    given" (the quantized `.pt2` that was analysed). ``hurting``: the fewest layers that make up half of the noise.
    """

    schema_: Literal["seatrial.analysis/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    samples: int
    parameters: int
    size_bytes: int
    macs: int
    quantized: Literal["emulated", "as given"]
    sqnr_db: float | None
    layers: tuple[LayerFigures, ...]
    hurting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
