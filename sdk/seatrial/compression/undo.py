"""Undo a compression: the original, from its record and the weights that were kept beside it."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import UserError

from ..exporters.digest import weights_digest
from .record import read_record
from .weights_file import load_weights

if TYPE_CHECKING:
    from ..source import ModelSource


def restore_original(source: ModelSource | str, record: Path | str) -> ModelSource:
    """Return ``source`` with the weights that the model had before the compression that ``record`` tells of.

    ``source`` gives the structure: the factory that was compressed. The weights are looked for beside the record, and
    held against its digest. Raises UserError when they are missing, damaged, or of another model.
    """
    from ..source import load_source

    given = load_source(source) if isinstance(source, str) else source
    path = Path(record)
    found = read_record(path)
    if not found.original_weights:
        raise UserError(f"{path}: the original's weights were not kept; compress with `keep_original: true`")
    weights = path.with_name(Path(found.original_weights).name)
    module = copy.deepcopy(given.module)
    load_weights(module, weights)
    if weights_digest(module) != found.original_digest:
        raise UserError(f"{weights}: the weights are not those of the original; the file or the model was changed")
    return dataclasses.replace(given, module=module)
