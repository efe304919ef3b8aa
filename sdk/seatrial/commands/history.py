"""seatrial history: what earlier gates said."""

from __future__ import annotations
