"""What a trial measured so far, on disk after every run, so that a crash or a lost link loses no finished run.

A journal is JSON lines beside the result (``trial.json.journal``): the trial without its runs, then one run per line,
each flushed to disk; of two lines with the same index the later one counts. It becomes the result, written atomically,
when the trial ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError, UserError

from .records import Run, Trial

SAME = ("device", "bundles", "settings", "meter")


class Journal:
    """The journal of one trial. `begin` opens it, `add` makes a run durable, `finish` turns it into the result."""

    def __init__(self, result: Path) -> None:
        """``result`` is where the finished trial will lie."""
        self.result = result
        self.path = result.with_name(result.name + ".journal")
        self._stream: IO[bytes] | None = None

    def begin(self, trial: Trial, *, resume: bool) -> Trial:
        """Start the journal and return the trial to go on with: with ``resume`` the earlier one and its runs.

        An earlier journal that is not resumed is kept under the name of its trial. Raises UserError when there is
        nothing to resume, or when what it measured was something else.
        """
        if resume:
            trial = self._resumed(trial)
        elif self.path.exists():
            self.path.rename(self._aside())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._rewrite(trial)
        except OSError as error:
            raise HarnessError(f"{self.path}: can't be written: {error.strerror}; choose another --out") from error
        return trial

    def add(self, run: Run) -> None:
        """Append a run and wait until it is on disk. One with the index of an earlier one takes its place."""
        if self._stream is None:
            raise HarnessError(f"{self.path}: the journal is not open")
        try:
            self._stream.write(_line(run))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise HarnessError(f"{self.path}: {error.strerror}; the runs before this one are kept") from error

    def finish(self, trial: Trial) -> None:
        """Write the result; remove the journal only when the trial ended well, so that another may be resumed."""
        write_atomic(self.result, trial.model_dump_json(by_alias=True).encode() + b"\n")
        self.close()
        if trial.status == "ok":
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _rewrite(self, trial: Trial) -> None:
        head = _line(trial.model_copy(update={"runs": ()}))
        write_atomic(self.path, head + b"".join(_line(run) for run in trial.runs))
        self._stream = self.path.open("ab")

    def _resumed(self, trial: Trial) -> Trial:
        if not self.path.exists():
            raise UserError(f"{self.path}: there is no unfinished trial to resume; run again without --resume")
        earlier = read_journal(self.path)
        for key in SAME:
            if getattr(earlier, key) != getattr(trial, key):
                raise UserError(
                    f"{self.path}: the unfinished trial had another {key.rstrip('s')}, and unlike runs don't mix;"
                    " use the same command as then, or run again without --resume"
                )
        finished = tuple(run for run in earlier.runs if run.status == "ok")
        return earlier.model_copy(update={"runs": finished, "status": "ok", "reason": ""})

    def _aside(self) -> Path:
        try:
            name = read_journal(self.path).id
        except UserError:
            name = "unreadable"
        return self.path.with_name(f"{self.path.name}.{''.join(c for c in name if c.isalnum() or c in '-_')[:80]}")


def read_journal(path: Path) -> Trial:
    """Return the trial that a journal holds; a last line that was cut off by a crash is left out."""
    lines = path.read_bytes().split(b"\n")
    try:
        trial = Trial.model_validate_json(lines[0])
        runs = tuple(Run.model_validate_json(line) for line in lines[1:-1] if line)
    except ValidationError as error:
        raise UserError(f"{path}: is not a journal of this version ({error.error_count()} errors)") from error
    return trial.model_copy(update={"runs": tuple({run.index: run for run in runs}.values())})


def _line(record: Trial | Run) -> bytes:
    return record.model_dump_json(by_alias=True).encode() + b"\n"
