"""What was measured and judged before, in SQLite by default."""

from seatrial_ci.history.store import Entry, History, default_path

__all__ = ["Entry", "History", "default_path"]
