"""A small causal language model, trained on Python's own documentation: distil, quantize, prune, in every order.

    python -m benchmarks.classic.language_model --work WORK

Text: `pydoc_data.topics`, by bytes. The teacher is a GPT-2 of 4 layers, the student has 2; both are trained here, so
the figures tell the orders apart and say nothing of large models. Perplexity (per byte) is on text that neither saw.
Pruning is of the smallest weights of each linear layer, to 50 % zeros, held while training goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seatrial.compression.distillation.objective import DistillationObjective
from seatrial.compression.distillation.settings import Distillation
from seatrial.compression.training.batches import Batch
from seatrial.compression.training.loop import fit
from seatrial.compression.training.objective import Objective
from seatrial.compression.training.settings import Training
from seatrial.compression.weight_only.gptq import Curvature, gptq
from seatrial.compression.weight_only.quantize import is_linear

LENGTH, BATCH = 64, 32
STEPS = {"teacher": 250, "student": 120, "distil": 60, "recover": 30}


class Bytes(nn.Module):
    """A GPT-2 over bytes."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        import transformers

        config = transformers.GPT2Config(
            vocab_size=256, n_positions=LENGTH, n_embd=width, n_layer=layers, n_head=4, bos_token_id=0, eos_token_id=0,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        )  # fmt: skip
        self.model = transformers.GPT2LMHeadModel(config)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(N, T) ids to (N, T, 256) logits."""
        return self.model(input_ids=input_ids, use_cache=False).logits


class NextByte(Objective):
    """Cross-entropy of the next byte."""

    def forward(self, module: nn.Module, batch: Batch) -> Any:
        """Return the loss."""
        from seatrial.compression.distillation.losses import token_cross_entropy

        ids = batch.named(("input_ids",))["input_ids"]
        loss = token_cross_entropy(batch.call(module), ids)
        return loss, {"task": loss.detach()}


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids (N, LENGTH) to train on and to test with; the test text is the last tenth of the topics."""
    from pydoc_data.topics import topics

    data = "\n".join(topics[name] for name in sorted(topics)).encode()
    ids = torch.tensor(list(data), dtype=torch.int64)
    ids = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    return ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]


def batches() -> Any:
    """Return a function that draws batches for an epoch."""
    train, _ = texts()
    return lambda: (train[torch.randint(0, len(train), (BATCH,))] for _ in range(100))


def perplexity(module: nn.Module) -> float:
    """Return exp of the mean cross-entropy per byte of the test text."""
    _, test = texts()
    objective, losses = NextByte(), []
    with torch.no_grad():
        for each in test[:512].split(64):
            losses.append(float(objective(module, Batch((each,), {}, None))[0]))
    return math.exp(sum(losses) / len(losses))


def training(steps: int, rate: float, seed: int) -> Training:
    """Return the settings of one stretch of training."""
    return Training(steps=steps, learning_rate=rate, warmup=0.05, clip_norm=1.0, seed=seed)


def distilled(student: nn.Module, teacher: nn.Module, steps: int, seed: int, after: Any = ()) -> None:
    """Train ``student`` beside the teacher."""
    example = Batch((texts()[0][:2],), {}, None)
    settings = Distillation(temperature=2.0, hard_weight=0.5, answers="tokens")
    objective = DistillationObjective(student, teacher, settings, example, input_names=("input_ids",))
    fit(student, batches(), training(steps, 1e-3, seed), objective=objective, after_step=after)


def linear(module: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers of the blocks."""
    return {name: each for name, each in module.named_modules() if is_linear(each) and ".h." in name}


def quantized(module: nn.Module) -> None:
    """Round the weights of the blocks to INT4 in groups of 32 by GPTQ, in place; zeros stay zeros."""
    train, _ = texts()
    for layer in linear(module).values():
        transposed = not isinstance(layer, nn.Linear)
        weight = layer.weight.detach().T.contiguous() if transposed else layer.weight.detach()
        curvature = Curvature(weight.shape[1])
        handle = layer.register_forward_pre_hook(lambda _, args, c=curvature: c.add(args[0]))
        with torch.no_grad():
            module(train[:64])
        handle.remove()
        made, grid = gptq(weight, curvature, 4, 32, False, 0.01)
        restored = grid.restored(made) * (weight != 0)
        layer.weight.data = restored.T.contiguous() if transposed else restored


def masks_of(module: nn.Module, part: float) -> dict[str, torch.Tensor]:
    """Return, for each linear layer, which weights stay when the smallest ``part`` of them go."""
    found = {}
    for name, layer in linear(module).items():
        size = layer.weight.detach().abs()
        found[name] = size > size.flatten().kthvalue(int(size.numel() * part)).values
    return found


def held(masks: dict[str, torch.Tensor]) -> Callable[[nn.Module, Any], None]:
    """Return what sets the pruned weights back to zero after each step."""

    def act(module: nn.Module, position: Any) -> None:
        with torch.no_grad():
            for name, mask in masks.items():
                module.get_submodule(name).weight.mul_(mask)

    return act


def order(steps: tuple[str, ...], student: nn.Module, teacher: nn.Module, seed: int) -> float:
    """Run the steps in this order on a copy of the student and return its perplexity."""
    import copy

    module = copy.deepcopy(student)
    masks: dict[str, torch.Tensor] = {}
    for step in steps:
        if step == "distil":
            distilled(module, teacher, STEPS["distil"], seed, [held(masks)] if masks else ())
        elif step == "prune":
            masks = masks_of(module, 0.5)
            held(masks)(module, None)
            settings = training(STEPS["recover"], 5e-4, seed)
            fit(module, batches(), settings, objective=NextByte(), after_step=[held(masks)])
        else:
            quantized(module)
    # What is trained after rounding is off the grid again: the weights that ship are always rounded last of all.
    if steps[-1] != "quantize":
        quantized(module)
    return perplexity(module)


def base(name: str, layers: int, seed: int, work: Path) -> nn.Module:
    """Return a trained model, from ``work`` if it is there."""
    torch.manual_seed(seed)
    module = Bytes(layers, 128)
    path = work / f"bytes-{name}-{seed}.safetensors"
    if not path.is_file():
        fit(module, batches(), training(STEPS[name], 2e-3, seed), objective=NextByte())
        save_file({key: value.clone() for key, value in module.state_dict().items()}, path)
    module.load_state_dict(load_file(path))
    return module.eval()


def main() -> None:
    """Measure all orders and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        teacher, student = base("teacher", 4, seed, arguments.work), base("student", 2, seed, arguments.work)
        rows.setdefault("teacher, float", []).append(perplexity(teacher))
        rows.setdefault("student, float", []).append(perplexity(student))
        for steps in itertools.permutations(("distil", "quantize", "prune")):
            began = time.monotonic()
            name = ", ".join(steps)
            rows.setdefault(name, []).append(order(steps, student, teacher, seed))
            print(json.dumps({"seed": seed, "order": name, "perplexity": rows[name][-1],
                              "seconds": round(time.monotonic() - began)}), flush=True)  # fmt: skip
    print("\n| order | perplexity per byte, by seed |\n|---|---|")
    for name, found in rows.items():
        print(f"| {name} | {', '.join(f'{each:.3f}' for each in found)} |")


if __name__ == "__main__":
    main()
