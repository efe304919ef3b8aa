"""The state that a device must be in for a run to begin, and to count."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .spec import Spec
from .units import CelsiusC, DurationNs, Ratio

Warmth = Annotated[CelsiusC, Field(gt=0, le=150)]


class Window(Spec):
    """Limits on a device's state; None means that there is no such limit. Throttling voids a run whatever is said here.

    - ``start_below_c``: a run begins only when the hottest of ``zones`` is cooler than this; ``end_below_c``: a run
      whose end is hotter than this is void.
    - ``others_load``: the largest share of all CPUs that others than the model may use; more voids a run.
    - ``least_battery``: charge below which no run begins, unless the device charges.
    - ``wait_ns``: how long to wait for the window before the trial is given up.

    ``zones`` are shell patterns of the thermal zones that count, by number or name; without any, all do.
    """

    start_below_c: Warmth | None = None
    end_below_c: Warmth | None = None
    others_load: Ratio | None = None
    least_battery: Ratio | None = None
    wait_ns: Annotated[DurationNs, Field(gt=0)] = 600 * 10**9
    zones: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.start_below_c and self.end_below_c and self.start_below_c > self.end_below_c:
            raise ValueError(f"start_below ({self.start_below_c:g} C) is above end_below ({self.end_below_c:g} C)")
        return self
