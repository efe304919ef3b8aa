"""A converted model as the files of an .mlpackage, the same bytes each time.

coremltools puts random UUIDs and the date into a package, and leaves a table for another project's debugger in it. None
of that is the model: the bytes written here depend on the model, the target and the toolchain alone.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

NAME = "model.mlpackage"
SPEC = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
_VOLATILE = ("com.github.apple.coremltools.conversion_date",)
_AUTHOR = "com.apple.CoreML"


def package_files(model: Any, metadata: dict[str, str]) -> dict[str, bytes]:
    """Return the files of the package of a converted ``MLModel`` by their paths in it, without those that vary.

    ``metadata`` goes to the spec: author, licence, version and description to the fields of that name, the rest to
    its user-defined dictionary.
    """
    weights = Path(model.package_path) / WEIGHTS
    data = weights.read_bytes() if weights.is_file() else None
    files = {SPEC: _spec_bytes(model.get_spec(), metadata)}
    if data is not None:
        files[WEIGHTS] = data
    return {"Manifest.json": _manifest(data is not None), **files}


def _spec_bytes(spec: Any, metadata: dict[str, str]) -> bytes:
    described = spec.description.metadata
    for key in _VOLATILE:
        described.userDefined.pop(key, None)
    fields = {"author": "author", "licence": "license", "version": "versionString", "description": "shortDescription"}
    for key, value in metadata.items():
        if key in fields:
            setattr(described, fields[key], value)
        else:
            described.userDefined[key] = value
    data: bytes = spec.SerializeToString(deterministic=True)
    return data


def _manifest(with_weights: bool) -> bytes:
    """The package's own manifest, as libmodelpackage writes it, with identifiers made of what they identify."""
    items = {"model.mlmodel": "CoreML Model Specification"} | (
        {"weights": "CoreML Model Weights"} if with_weights else {}
    )
    entries = {
        _identifier(name): {"author": _AUTHOR, "description": text, "name": name, "path": f"{_AUTHOR}/{name}"}
        for name, text in items.items()
    }
    body = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": _identifier("model.mlmodel"),
    }
    return (json.dumps(body, indent=4, sort_keys=True) + "\n").encode()


def _identifier(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{_AUTHOR}/{name}"))


def write_package(files: dict[str, bytes], folder: Path) -> Path:
    """Write the files of a package below ``folder`` and return it: what is then checked is what is shipped."""
    package = folder / "checked" / NAME
    for path, data in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_bytes(data)
    return package
