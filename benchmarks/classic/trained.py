"""The models of the compression benchmarks, trained once for each seed and kept in a folder.

python -m benchmarks.classic.trained --work WORK --model resnet18 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seatrial.compression.training.loop import fit
from seatrial.compression.training.settings import Training
from seatrial.source import ModelSource

from .digits import CALIBRATION, SIDE, part
from .resnet18 import ResNet18

BATCH = 64
MODELS: dict[str, Callable[[], nn.Module]] = {"resnet18": ResNet18}
TRAINING = Training(epochs=6, learning_rate=2e-3, weight_decay=0.02, warmup=0.1, clip_norm=5.0, checkpoint_every=50)


def trained(model: str, seed: int, work: Path) -> nn.Module:
    """Return the model in eval mode, trained now if it is not yet in ``work``; goes on where it was interrupted."""
    torch.manual_seed(seed)
    module = MODELS[model]()
    path = work / f"{model}-{seed}.safetensors"
    if not path.is_file():
        settings = TRAINING.model_copy(update={"seed": seed})
        checkpoint = work / f"{model}-{seed}.training"
        fit(module, batches(), settings, checkpoint=checkpoint, resume=True, on_progress=_tell)
        save_file(module.state_dict(), path)
        checkpoint.unlink(missing_ok=True)
    module.load_state_dict(load_file(path))
    return module.eval()


def batches() -> Any:
    """Return a DataLoader over the training digits."""
    dataset = torch.utils.data.TensorDataset(*part("train"))
    return torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)


def source(model: str, seed: int, work: Path, side: int = SIDE) -> ModelSource:
    """Return the trained model with its data; with another ``side`` it is for latency alone, without data."""
    module = trained(model, seed, work)
    if side != SIDE:
        return ModelSource(module, (torch.randn(1, 3, side, side),), name=f"{model}-{side}")
    images, _ = part("train")
    checks, _ = part("test")
    return ModelSource(
        module,
        (checks[:1],),
        calibration=[(each[None],) for each in images[:CALIBRATION]],
        checks=[(each[None],) for each in checks[:200]],
        evaluate=functools.partial(top1),
        train=batches(),
        name=model,
    )


def top1(predict: Any) -> dict[str, float]:
    """Return the part of the corrupted test digits that is told right."""
    images, labels = part("test")
    right = [int((predict(image[None]).argmax(1) == label).sum()) for image, label in zip(images, labels, strict=True)]
    return {"top1": sum(right) / len(labels)}


def batched_top1(module: nn.Module) -> float:
    """Return the same of a torch module, in batches."""
    images, labels = part("test")
    with torch.no_grad():
        right = sum(
            int((module(x).argmax(1) == y).sum()) for x, y in zip(images.split(250), labels.split(250), strict=True)
        )
    return right / len(labels)


def _tell(stage: str, done: int, total: int) -> None:
    if done % 25 == 0:
        print(f"{stage} {done}/{total}", flush=True)


def main() -> None:
    """Train what is not there yet and print its accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="resnet18", choices=sorted(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        print(arguments.model, seed, batched_top1(trained(arguments.model, seed, arguments.work)), flush=True)


if __name__ == "__main__":
    main()
