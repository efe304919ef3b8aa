"""The bundles of a comparison: a candidate, and its baseline by path or by a reference into the store of baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.records import BundleName

REFERENCES = ("tag:", "branch:", "release:", "digest:")


def is_reference(baseline: Path | str) -> bool:
    """Return whether a baseline is looked up among the kept ones: 'branch:main'. A path wins where there is one."""
    return str(baseline).startswith(REFERENCES) and not Path(baseline).exists()


def open_pair(
    candidate: Path | str, baseline: Path | str | None, baselines: Path | str | None = None
) -> dict[BundleName, Bundle]:
    """Return the verified bundles. ``baselines`` is the place of the store, by default the user's own.

    Raises BundleError; UnknownNameError for a reference that means nothing; UserError for one that leads to a bundle
    which did not pass its own gate.
    """
    from seatrial_ci.baselines import Baselines
    from seatrial_runner.bundle import Bundle

    first = Bundle.open(candidate)
    if not baseline:
        return {"candidate": first}
    place = Path(baseline)
    if is_reference(baseline):
        place = Baselines.open(baselines).find(str(baseline), first.manifest.name, first.manifest.target)
    return {"candidate": first, "baseline": Bundle.open(place)}
