"""What `seatrial bundle show` tells of a Core ML bundle: the systems it needs, what may leave the Neural Engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle

# Of `seatrial.verify.coreml.deployability`, whose imports are heavy.
DEPLOYABILITY_FILE = "deployability.json"
# iOS version -> macOS version of the same Core ML.
_MACOS = {15: 12, 16: 13, 17: 14, 18: 15, 26: 26}


def recorded(bundle: Bundle) -> dict[str, Any] | None:
    """Return the record that export left in a bundle; None in bundles for other runtimes, or of older versions."""
    if DEPLOYABILITY_FILE not in {entry.path for entry in bundle.manifest.files}:
        return None
    found: dict[str, Any] = json.loads(bundle.file(DEPLOYABILITY_FILE).read_bytes())
    return found


def show(screen: Screen, record: dict[str, Any]) -> None:
    """Print the record as tables."""
    screen.line()
    screen.line(f"Needs {system(record['ios'])} or later, as it is written.")
    rows = [(each["type"], each["count"], system(each["since"]), system(each["form"])) for each in record["operations"]]
    screen.table(("operation", "times", "came with", "its form here is of"), rows)
    screen.line()
    engine = record["engine"]
    screen.line(f"Neural Engine: {engine['leaving']} of {engine['operations']} operations are known to leave it;")
    screen.line(f"{engine['estimate']}.")
    rules = [(_operations(rule), rule["what"], rule["source"]) for rule in engine["leaves"]]
    rules += [(f"input {each['name']}", each["what"], each["source"]) for each in engine["inputs"]]
    if rules:
        screen.table(("what", "why", "source"), rules)


def system(ios: int | None) -> str:
    """Return 'iOS 17, macOS 14'; '?' for None.

    >>> system(18)
    'iOS 18, macOS 15'
    """
    return "?" if ios is None else f"iOS {ios}, macOS {_MACOS.get(ios, '?')}"


def _operations(rule: dict[str, Any]) -> str:
    return ", ".join(f"{each['count']} {each['type']} ({each['first']})" for each in rule["operations"])
