"""coremltools draws progress bars on stderr; here they become the stages that every exporter tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TextIO

_BAR = re.compile(r"^(?P<what>[^:|%]+(?: ==> [^:|%]+)?):\s+(?P<percent>\d+)%\|")


class ProgressStream:
    """A text stream that takes tqdm's bars out of what is written to it, and passes the other lines on."""

    def __init__(self, on_progress: Callable[[str], None], rest: TextIO) -> None:
        self._on_progress, self._rest, self._partial, self._last = on_progress, rest, "", ""

    def write(self, text: str) -> int:
        """Take ``text``; lines end at a line feed, bars at a carriage return."""
        *whole, self._partial = re.split(r"[\r\n]", self._partial + text)
        for line in whole:
            self._take(line)
        # A bar is drawn without an end of line after it.
        if _BAR.match(self._partial):
            self._take(self._partial)
            self._partial = ""
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but a line that has not ended."""

    def isatty(self) -> bool:
        """No terminal: tqdm then keeps to plain characters."""
        return False

    def _take(self, line: str) -> None:
        found = _BAR.match(line)
        if found is None:
            if line.strip() and "ops/s]" not in line and "passes/s]" not in line:
                self._rest.write(line + "\n")
            return
        said = f"{found['what'].strip()} {int(found['percent']) // 10 * 10} %"
        if said != self._last:
            self._last = said
            self._on_progress(said)
