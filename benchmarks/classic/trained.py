"""The models of the compression benchmarks, trained once for each seed and kept in a folder.

python -m benchmarks.classic.trained --work WORK --model resnet18 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seatrial.compression.training.batches import Batch
from seatrial.compression.training.loop import fit
from seatrial.compression.training.objective import SupervisedObjective, cross_entropy
from seatrial.compression.training.settings import Training
from seatrial.source import ModelSource, Predict

from .digits import calibration, epoch, test
from .mobilenet_v3 import MobileNetV3
from .resnet18 import ResNet18

MODELS: dict[str, Callable[[], nn.Module]] = {"resnet18": ResNet18, "mobilenet-v3": MobileNetV3}
EPOCHS = {"resnet18": 12, "mobilenet-v3": 20}
TRAINING = Training(learning_rate=2e-3, weight_decay=0.02, warmup=0.1, clip_norm=5.0, checkpoint_every=50)


class InBfloat16(SupervisedObjective):
    """Cross-entropy, computed in bfloat16 where that is safe: half the time on a CPU that has AMX."""

    def forward(self, module: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = batch.call(module).float()
        loss = cross_entropy(logits, batch.target)
        return loss, {"task": loss.detach()}


def trained(model: str, seed: int, work: Path) -> nn.Module:
    """Return the model in eval mode, trained now if it is not yet in ``work``; goes on where it was interrupted."""
    torch.manual_seed(seed)
    module = MODELS[model]()
    path = work / f"{model}-{seed}.safetensors"
    if not path.is_file():
        settings = TRAINING.model_copy(update={"seed": seed, "epochs": EPOCHS[model]})
        checkpoint = work / f"{model}-{seed}.training"
        fit(module.to(memory_format=torch.channels_last), epoch, settings, objective=InBfloat16(),
            checkpoint=checkpoint, resume=True, on_progress=_tell)  # fmt: skip
        save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
        checkpoint.unlink(missing_ok=True)
    module.load_state_dict(load_file(path))
    return module.eval()


def source(model: str, seed: int, work: Path) -> ModelSource:
    """Return the trained model with its data."""
    checks, _ = test()
    return ModelSource(
        trained(model, seed, work),
        (checks[:1],),
        calibration=[(each[None],) for each in calibration()],
        checks=[(each[None],) for each in checks[:100]],
        evaluate=top1,
        train=epoch,
        name=f"{model}-{seed}",
    )


def top1(predict: Predict) -> dict[str, float]:
    """Return the part of the corrupted test digits that is told right."""
    images, labels = test()
    right = [int((predict(image[None]).argmax(1) == label).sum()) for image, label in zip(images, labels, strict=True)]
    return {"top1": sum(right) / len(labels)}


def batched_top1(module: nn.Module) -> float:
    """Return the same of a torch module, in batches."""
    images, labels = test()
    with torch.no_grad():
        pairs = zip(images.split(250), labels.split(250), strict=True)
        return sum(int((module(x).argmax(1) == y).sum()) for x, y in pairs) / len(labels)


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
