"""`hf:FOLDER`: a folder that `save_pretrained` wrote, read without network, without pickle, without foreign code."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ModelError, UserError

from ..source import ModelSource

if TYPE_CHECKING:
    from torch import nn

MAKE_ONE = "write one with model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)"
_MOST_JSON_BYTES = 16 << 20


def load_folder(folder: Path, *, allow_remote_code: bool = False) -> ModelSource:
    """Return the model in ``folder`` as a source, with an example text or image, and checks where it has a tokenizer.

    The module takes its inputs by name (`input_ids`, `attention_mask`, ... or `pixel_values`) and returns tensors:
    logits, or the last hidden states, or sentence embeddings where the folder is one of sentence-transformers. Weights
    are read from safetensors alone. ``allow_remote_code`` lets Python files in the folder run.

    Raises ModelError: no such folder or no model in it, pickled weights only, code of its own, missing weights, an
    architecture or a kind of input that is not handled. Raises UserError without the package transformers.
    """
    config = _read_config(folder)
    _check_weights(folder)
    _check_code(folder, config, allow_remote_code)
    transformers = _transformers()
    from .module import wrapped

    with _quiet(transformers):
        model = _loaded(folder, config, transformers, allow_remote_code)
        module = wrapped(model, folder)
        examples, checks = _examples(module, folder, transformers, allow_remote_code)
    return ModelSource(
        module=module,
        example_inputs=examples,
        checks=checks or None,
        dynamic_shapes=_open_lengths(examples),
        weights_licence=_licence(folder),
        name=_name(folder),
    )


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises ModelError when it is absent, too large or no JSON."""
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ModelError(f"{path}: is too large for a description of a model")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}; {MAKE_ONE}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no JSON: {error}") from error


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ModelError(f"hf:{folder}: no such folder; models are read from local folders only: {MAKE_ONE}")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{folder / 'config.json'}: names no model_type, so it describes no model; {MAKE_ONE}")
    return config


def _check_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{folder}: the weights are a pickle ({pickled[0]}), which runs code when it is loaded; convert it where "
            "you trust it: from_pretrained(FOLDER).save_pretrained(FOLDER) writes safetensors"
        )
    raise ModelError(f"{folder}: holds no *.safetensors; {MAKE_ONE}")


def _check_code(folder: Path, config: dict[str, Any], allowed: bool) -> None:
    if config.get("auto_map") and not allowed:
        raise ModelError(
            f"{folder}: the model brings code of its own ({', '.join(config['auto_map'])}); if you trust it, load "
            "it in Python with seatrial.load_source('hf:FOLDER', allow_remote_code=True)"
        )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"hf: needs {error.name}, which is not installed; run: pip install 'seatrial[huggingface]'"
        ) from error
    return transformers


def _loaded(folder: Path, config: dict[str, Any], transformers: Any, allowed: bool) -> nn.Module:
    import torch

    architecture = next(iter(config.get("architectures") or ["AutoModel"]))
    kind = transformers.AutoModel if config.get("auto_map") else getattr(transformers, architecture, None)
    if kind is None:
        raise ModelError(
            f"{folder}: transformers {transformers.__version__} has no {architecture}; another version of it may"
        )
    try:
        model, said = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=allowed, dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, RuntimeError and more
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}: transformers {transformers.__version__} can't load it: {first}") from error
    if lacking := sorted(map(str, said["missing_keys"])):
        raise ModelError(
            f"{folder}: the weights lack {lacking[0]} and {len(lacking) - 1} more, which would be random numbers; "
            f"is `architectures` in config.json right ({architecture})?"
        )
    made: nn.Module = model.eval()
    return made


def _examples(module: Any, folder: Path, transformers: Any, allowed: bool) -> tuple[dict[str, Any], list[Any]]:
    from .examples import image, random_text, texts

    if "pixel_values" in module.input_names:
        return image(module), []
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=allowed)
    except Exception:  # a folder without a tokenizer, or one whose packages are absent: ids will do
        return random_text(module), []
    return texts(module, tokenizer)


def _open_lengths(examples: dict[str, Any]) -> Any:
    """Texts may have any length: axis 1 of ids and masks."""
    import torch

    if "input_ids" not in examples:
        return None
    return {name: {1: torch.export.Dim.AUTO} for name in examples}


def _licence(folder: Path) -> str:
    """The licence that the model card names; an empty string when there is none."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError:
        return ""
    found = re.search(r"^license:\s*([\w.+-]{1,60})\s*$", head.partition("\n---")[0], re.MULTILINE)
    return f"{found[1]} (model card)" if found else ""


def _name(folder: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip(".-")
    return name[:100] or "model"


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without transformers' progress bars and advice; what is wrong, we say ourselves."""
    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
