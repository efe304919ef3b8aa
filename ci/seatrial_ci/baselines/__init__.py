"""Bundles that were accepted, kept by their content and found by tag, branch or release."""

from seatrial_ci.baselines.store import Baselines, Kept, default_place

__all__ = ["Baselines", "Kept", "default_place"]
