"""A saved package as a function of arrays, as an app calls it: names, types, images, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seatrial_targets.errors import EvaluationError

from .evaluator import Evaluator, Observer, State
from .package import Package

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]

# FeatureTypes.proto, ArrayFeatureType.ArrayDataType
DTYPES = {65552: "float16", 65568: "float32", 65600: "float64", 131080: "int8", 131104: "int32"}
# FeatureTypes.proto, ImageFeatureType.ColorSpace
COLOURS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}


@dataclass(frozen=True)
class Described:
    """An input or output as the package describes it: ``dtype`` as in numpy; ``colour`` of an image, or empty;
    ``labels`` of a classifier's probabilities, in the order of the array."""

    name: str
    dtype: str
    colour: str = ""
    labels: tuple[str, ...] = ()


class PackageSession:
    """One package, loaded. Images are arrays of uint8: (height, width, 3) in red, green, blue, or (height, width)."""

    def __init__(self, folder: Path, *, rounded: bool = True) -> None:
        """Load the package at ``folder``. Raises BundleError when it is damaged."""
        self.package = Package(folder)
        self.evaluator = Evaluator(self.package, rounded)
        description = self.package.spec.description
        self.inputs = tuple(map(_described, description.input))
        self.outputs = _outputs(self.package, description)

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        states: Mapping[str, State] | None = None,
        observer: Observer | None = None,
    ) -> Arrays:
        """Return the outputs by name. Raises EvaluationError for an input that is not what the package takes."""
        given = {each.name: _tensor(each, inputs) for each in self.inputs}
        found = self.evaluator.run(given, states, observer)
        return {each.name: _array(each, found[each.name]) for each in self.outputs}


def _described(feature: Any) -> Described:
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        colour = COLOURS.get(feature.type.imageType.colorSpace, "")
        return Described(feature.name, "float16" if colour.endswith("FLOAT16") else "uint8", colour)
    return Described(feature.name, DTYPES.get(feature.type.multiArrayType.dataType, "float32"))


def _outputs(package: Package, description: Any) -> tuple[Described, ...]:
    # A classifier's label follows from its probabilities; it is no array.
    plain = [each for each in description.output if each.name != description.predictedFeatureName]
    probabilities = description.predictedProbabilitiesName
    labels = _labels(package) if probabilities else ()
    return tuple(
        Described(each.name, "float32", labels=labels) if each.name == probabilities else _described(each)
        for each in plain
    )


def _labels(package: Package) -> tuple[str, ...]:
    for operation in package.function.block.walk():
        if operation.type == "classify":
            (binding,) = operation.inputs["classes"]
            classes = package.value(binding) if not isinstance(binding, str) else _constant(package, binding)
            return tuple(map(str, classes if isinstance(classes, list) else classes.tolist()))
    return ()


def _constant(package: Package, name: str) -> Any:
    for operation in package.function.block.operations:
        if operation.type == "const" and operation.outputs[0].name == name:
            return package.value(operation.attributes["val"])
    raise EvaluationError(f"{package.folder}: its labels {name!r} are no constant")


def _tensor(described: Described, inputs: Mapping[str, NDArray[Any]]) -> torch.Tensor:
    if described.name not in inputs:
        raise EvaluationError(f"the package takes an input {described.name!r}, which was not given")
    array = inputs[described.name]
    if str(array.dtype) != described.dtype:
        raise EvaluationError(f"input {described.name!r} takes {described.dtype}, but {array.dtype} was given")
    return torch.from_numpy(np.array(_planes(described, array) if described.colour else array))


def _planes(described: Described, array: NDArray[Any]) -> NDArray[Any]:
    """Return an image as the program takes it: (1, channels, height, width) of float32, in its own colour order."""
    if array.ndim != (2 if described.colour.startswith("GRAYSCALE") else 3):
        raise EvaluationError(f"input {described.name!r} is an image, but {list(array.shape)} was given")
    if described.colour.startswith("GRAYSCALE"):
        return array.astype(np.float32)[None, None]
    planes = array.transpose(2, 0, 1)[None].astype(np.float32)
    return planes[:, ::-1] if described.colour == "BGR" else planes


def _array(described: Described, value: Any) -> NDArray[Any]:
    if isinstance(value, dict):
        return np.array(list(value.values()), described.dtype)
    array: NDArray[Any] = _image(described, value.numpy()) if described.colour else value.numpy()
    made: NDArray[Any] = np.ascontiguousarray(array.astype(described.dtype)).reshape(array.shape)
    return made


def _image(described: Described, array: NDArray[Any]) -> NDArray[Any]:
    pixels = array[0] if described.colour.endswith("FLOAT16") else np.clip(np.rint(array[0]), 0, 255)
    pixels = pixels[::-1] if described.colour == "BGR" else pixels
    made: NDArray[Any] = pixels[0] if described.colour.startswith("GRAYSCALE") else pixels.transpose(1, 2, 0)
    return made
