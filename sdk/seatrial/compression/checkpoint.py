"""What an interrupted compression leaves, so that it goes on after the last finished step: a folder beside the output.

`progress.json` is written last, after the weights of its step, so that what it names is always there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError, UserError

from .edits import replay
from .pt2_file import read_program, write_program
from .record import Figures, RecordPart, StepReport
from .weights_file import load_weights, save_weights

if TYPE_CHECKING:
    from .state import CompressionState

FILE = "progress.json"


class Progress(RecordPart):
    """How far a compression is: what `progress.json` holds."""

    schema_: Literal["seatrial.compression-progress/1"] = Field(
        default="seatrial.compression-progress/1", alias="schema"
    )
    recipe_digest: str
    original_digest: str
    original: Figures
    form: Literal["float", "captured", "quantized"] = "float"
    reports: tuple[StepReport, ...] = ()
    edits: tuple[dict[str, Any], ...] = ()
    learned_scales: bool = False
    sparse: tuple[str, ...] = ()
    weights: str = ""  # the file that holds the model after the last report


class Checkpoint:
    """The folder of one compression. ``folder`` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def begin(self) -> None:
        """Empty the folder. Raises HarnessError when it can't be made."""
        if self.folder is None:
            return
        self.remove()
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise HarnessError(f"{self.folder}: can't be made: {error.strerror}") from error

    def steps_folder(self, index: int) -> Path | None:
        """Return a folder for the own files of the step ``index``, made; None when nothing is kept."""
        if self.folder is None:
            return None
        made = self.folder / f"step-{index:02d}"
        made.mkdir(exist_ok=True)
        return made

    def save(self, progress: Progress, state: CompressionState) -> None:
        """Keep the model as it is now, and then that it is so; earlier files go."""
        if self.folder is None:
            return
        count = len(progress.reports)
        name = f"after-{count:02d}.{'safetensors' if state.form == 'float' else 'pt2'}"
        if state.form == "float":
            save_weights(state.module, self.folder / name)
        else:
            from .capture import capture_batched

            write_program(capture_batched(state.as_source()).program, self.folder / name)
        now: dict[str, Any] = {"form": state.form, "edits": tuple(state.edits), "learned_scales": state.learned_scales}
        now["sparse"] = state.sparse
        kept = progress.model_copy(update={"weights": name, **now})
        write_atomic(self.folder / FILE, kept.model_dump_json(by_alias=True, indent=1))
        self._drop_all_but(name)

    def load(self) -> Progress | None:
        """Return how far it is, or None when nothing was kept. Raises UserError when it can't be read."""
        if self.folder is None or not (self.folder / FILE).is_file():
            return None
        try:
            return Progress.model_validate_json((self.folder / FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise UserError(f"{self.folder / FILE}: can't be read; start again without --resume") from error

    def restore(self, progress: Progress, state: CompressionState) -> None:
        """Bring ``state``, which is as at the beginning, to where ``progress`` says."""
        if self.folder is None or not progress.weights:
            return
        path = self.folder / Path(progress.weights).name
        if progress.form != "float":
            state.module = read_program(path).module()
        else:
            state.module = replay(state.module, progress.edits, state.source.inputs)
            load_weights(state.module, path)
        state.learned_scales, state.sparse = progress.learned_scales, progress.sparse
        state.form, state.edits = progress.form, [dict(each) for each in progress.edits]

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _drop_all_but(self, name: str) -> None:
        for path in (self.folder or Path()).glob("after-*"):
            if path.name != name:
                path.unlink(missing_ok=True)
        for path in (self.folder or Path()).glob("step-*"):
            shutil.rmtree(path, ignore_errors=True)
