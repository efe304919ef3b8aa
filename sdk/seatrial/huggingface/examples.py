"""Example inputs and checks for models that come without data: text of Python's own documentation, a grey image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

LENGTH = 32  # tokens of an example
CHECKS = 24
_SIDE = 224


def texts(module: Any, tokenizer: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """Return an example and `CHECKS` others, each int64 (1, LENGTH) for ids and masks, without padding."""
    length = _length(module)
    found: list[dict[str, torch.Tensor]] = []
    for passage in passages():
        encoded = tokenizer(passage, truncation=True, max_length=length, return_tensors="pt")
        made = {name: _input(name, encoded) for name in module.input_names}
        if made["input_ids"].shape[1] == length:
            found.append(made)
        if len(found) > CHECKS:
            break
    if not found:
        return random_text(module), []
    return found[0], found[1:]


def random_text(module: Any) -> dict[str, torch.Tensor]:
    """Return ids drawn from the whole vocabulary, for a model without a tokenizer."""
    generator = torch.Generator().manual_seed(0)
    config = module.model.config.get_text_config()
    ids = torch.randint(0, config.vocab_size, (1, _length(module)), generator=generator)
    return {name: _input(name, {"input_ids": ids}) for name in module.input_names}


def image(module: Any) -> dict[str, torch.Tensor]:
    """Return random pixels, float32 (1, C, H, W), of the size that the model was made for."""
    config = module.model.config
    side = getattr(config, "image_size", None) or _SIDE
    height, width = side if isinstance(side, list | tuple) else (side, side)
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.randn(1, getattr(config, "num_channels", 3), height, width, generator=generator)}


def passages() -> Iterator[str]:
    """Yield paragraphs of Python's documentation, in an order that is random and always the same."""
    from pydoc_data.topics import topics

    paragraphs = [re.sub(r"\s+", " ", part).strip() for text in topics.values() for part in re.split(r"\n\s*\n", text)]
    prose = sorted({each for each in paragraphs if len(each) > 4 * LENGTH and each[0].isalpha()})
    yield from (prose[i] for i in np.random.default_rng(0).permutation(len(prose)))


def _length(module: Any) -> int:
    config = module.model.config.get_text_config()
    most = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or LENGTH
    return min(LENGTH, int(most))


def _input(name: str, encoded: Any) -> torch.Tensor:
    """One of the model's inputs; a tokenizer may leave out masks that are all 1 and types that are all 0."""
    if name in encoded:
        value: torch.Tensor = encoded[name]
        return value
    return torch.full_like(encoded["input_ids"], 1 if name == "attention_mask" else 0)
