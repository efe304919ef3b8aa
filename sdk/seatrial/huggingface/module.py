"""Hugging Face models as modules that take tensors by name and return tensors, which is what can be captured."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seatrial_targets.errors import ModelError


class TextModule(nn.Module):
    """A text model: encoder, classifier or causal language model. ``model`` is transformers' own module."""

    def __init__(self, model: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self.head = head
        known = inspect.signature(model.forward).parameters
        # GPT-2 and others accept types of tokens, but were trained without: their vocabulary of types is empty.
        typed = getattr(model.config, "type_vocab_size", 0) > 0
        wanted = ("input_ids", "attention_mask", *(["token_type_ids"] if typed else []))
        self.input_names = tuple(name for name in wanted if name in known)
        # A cache is state for generating token by token; a captured model answers for the whole text.
        self._fixed = {"use_cache": False} if "use_cache" in known else {}

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> Any:
        """Ids and masks are int64 (N, T). Returns float32 tensors; see `answers`."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        found = answers(self.model(**{name: given[name] for name in self.input_names}, **self._fixed))
        return found if self.head is None else self.head(found, attention_mask)


class ImageModule(nn.Module):
    """An image model. ``model`` is transformers' own module."""

    input_names = ("pixel_values",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> Any:
        """Pixels are float32 (N, C, H, W). Returns float32 tensors; see `answers`."""
        return answers(self.model(pixel_values=pixel_values))


class SentenceHead(nn.Module):
    """What sentence-transformers does behind the encoder: the mean over tokens or the first one, and unit length."""

    def __init__(self, first: bool, normalize: bool) -> None:
        super().__init__()
        self.first, self.normalize = first, normalize

    def forward(self, states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """States (N, T, D) and mask (N, T) to embeddings (N, D); padding counts nothing."""
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = states[:, 0] if self.first else (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return functional.normalize(pooled, dim=1) if self.normalize else pooled


def wrapped(model: nn.Module, folder: Path) -> nn.Module:
    """Return ``model`` as one of the modules above. Raises ModelError for inputs that are not handled."""
    known = inspect.signature(model.forward).parameters
    if getattr(model.config, "is_encoder_decoder", False) or "decoder_input_ids" in known:
        raise ModelError(f"{folder}: is an encoder with a decoder; export its parts from a factory of your own")
    if "input_ids" in known and "attention_mask" in known:
        return TextModule(model, _sentence_head(folder)).eval()
    if "pixel_values" in known:
        return ImageModule(model).eval()
    raise ModelError(f"{folder}: takes {', '.join(list(known)[:4])}; only texts and images are read: write a factory")


def answers(outputs: Any) -> Any:
    """Return logits, or the last hidden states, or else all float tensors, of what transformers' model returned."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    for name in ("logits", "last_hidden_state"):
        if isinstance(outputs, Mapping) and isinstance(outputs.get(name), torch.Tensor):
            return outputs[name]
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    found = tuple(each for each in values if isinstance(each, torch.Tensor) and each.is_floating_point())
    return found[0] if len(found) == 1 else found


def _sentence_head(folder: Path) -> nn.Module | None:
    from .load import read_json

    if not (folder / "modules.json").is_file():
        return None
    kinds = {str(each.get("type", "")).rpartition(".")[2]: each for each in read_json(folder / "modules.json")}
    if set(kinds) - {"Transformer", "Pooling", "Normalize"} or "Pooling" not in kinds:
        return None
    place = (folder / str(kinds["Pooling"].get("path", ""))).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder / 'modules.json'}: names a folder outside of the model's")
    pooling = read_json(place / "config.json")
    modes = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True]
    if modes not in (["pooling_mode_mean_tokens"], ["pooling_mode_cls_token"]):
        raise ModelError(f"{place / 'config.json'}: pools by {', '.join(modes)}; only mean and first token are known")
    return SentenceHead(modes == ["pooling_mode_cls_token"], "Normalize" in kinds)
