"""What was measured and judged before, in SQLite by default."""

from seatrial_ci.history.connection import default_path
from seatrial_ci.history.entries import Entry
from seatrial_ci.history.figures import Point
from seatrial_ci.history.store import History

__all__ = ["Entry", "History", "Point", "default_path"]
