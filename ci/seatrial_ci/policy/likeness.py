"""Are the two bundles of a trial alike in all but what is to be compared: toolchain and settings of the runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial_runner.records import Trial


def unlike_bundles(trial: Trial) -> tuple[str, ...]:
    """Return why candidate and baseline are unlike. A trial of an earlier version did not record it: then nothing.

    The device, its OS and power mode are the same by construction: both ran in one session, and a change during it
    spoils the trial. What a bundle brings along may differ: a slow-down may then be the converter's.
    """
    one, other = trial.bundles.get("candidate"), trial.bundles.get("baseline")
    if one is None or other is None:
        return ()
    return (
        *_differ("toolchain", one.toolchain, other.toolchain),
        *_differ("runtime settings", one.runtime_settings, other.runtime_settings),
    )


def _differ(what: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    if not one or not other:
        return
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            said = f"{key} {one.get(key, 'absent')} in the candidate, {other.get(key, 'absent')} in the baseline"
            yield f"the bundles are unlike in {what}: {said}; export the baseline again, or set `unlike: warn`"
            return
