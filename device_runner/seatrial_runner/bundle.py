"""A bundle on disk: written atomically, verified by sha256 on every read, never executed.

bundle/
  manifest.json          everything about it; its key ``digest`` is the sha256 of all the rest of the manifest
  model.onnx             artifact files; or a folder of them, as Core ML's model.mlpackage/
  golden/*.npy           golden inputs and outputs
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import ValidationError

from seatrial_targets.errors import BundleError, HarnessError

from .manifest import BUNDLE_SCHEMA, FileEntry, Manifest

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 << 20
Role = Literal["artifact", "golden_input", "golden_output", "reference_output", "record"]


@dataclass(frozen=True)
class Content:
    """One file to put into a bundle: what it is for, and its bytes or the file that holds them."""

    role: Role
    data: bytes | Path


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: folder, manifest, and digest (sha256 hex, the bundle's identity)."""

    path: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Read and verify the bundle at ``path``. Raises BundleError that names the first thing that is wrong."""
        folder = Path(path)
        manifest, digest = _read_manifest(folder)
        _require_named(folder, manifest)
        _refuse_strangers(folder, manifest)
        for entry in manifest.files:
            _verify(folder, entry)
        return cls(folder, manifest, digest)

    def file(self, path: str) -> Path:
        """Return the local path of one of the bundle's files. Raises BundleError when it has no such file."""
        self.entry(path)
        return self.path / path

    def artifact_files(self) -> tuple[FileEntry, ...]:
        """Return the entries of the files that make up the artifact: one, or those below the folder that it is."""
        return tuple(entry for entry in self.manifest.files if _belongs(entry, self.manifest.artifact))

    def entry(self, path: str) -> FileEntry:
        """Return the manifest's entry of a file. Raises BundleError when there is none."""
        for entry in self.manifest.files:
            if entry.path == path:
                return entry
        raise BundleError(f"{self.path}: the manifest names {path!r}, but not among its files; export it again")


def write_bundle(folder: Path, contents: Mapping[str, Content], fields: Mapping[str, Any]) -> Bundle:
    """Write a bundle at ``folder``, complete or not at all, and return it verified.

    ``contents`` maps the path inside the bundle to its content; ``fields`` are the manifest's, without ``files`` and
    ``size_bytes``, which are computed. An older *bundle* at ``folder`` is replaced; anything else there is an error.
    """
    _refuse_to_overwrite(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            made = Path(temporary) / "bundle"
            _fill(made, contents, fields)
            Bundle.open(made)
            _replace(made, folder)
    except OSError as error:
        raise HarnessError(f"{folder}: could not be written: {error.strerror or error}; nothing was changed") from error
    return Bundle.open(folder)


def canonical(value: Any) -> bytes:
    """Return the one JSON encoding of ``value`` that digests are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fill(made: Path, contents: Mapping[str, Content], fields: Mapping[str, Any]) -> None:
    made.mkdir()
    entries = [_write_content(made, path, contents[path]) for path in sorted(contents)]
    size = sum(entry.size_bytes for entry in entries if entry.role == "artifact")
    manifest = Manifest.model_validate({**fields, "files": tuple(entries), "size_bytes": size})
    body = manifest.model_dump(mode="json", by_alias=True)
    text = json.dumps({"digest": _digest(body), **body}, indent=1, ensure_ascii=False, allow_nan=False)
    _write_synced(made / MANIFEST, text.encode() + b"\n")


def _write_content(made: Path, path: str, content: Content) -> FileEntry:
    _check_path(made, path)
    target = made / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content.data, Path):
        shutil.copyfile(content.data, target)
    else:
        _write_synced(target, content.data)
    return FileEntry(path=path, sha256=sha256_file(target), size_bytes=target.stat().st_size, role=content.role)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _replace(made: Path, folder: Path) -> None:
    # rename(2) can't replace a folder that has files; the old one steps aside into the temporary folder, which is
    # deleted when all is done, so that a crash between the two renames loses neither.
    if folder.exists():
        folder.rename(made.parent / "old")
    made.rename(folder)


def _refuse_to_overwrite(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BundleError(f"{folder}: is not a folder; choose another place for the bundle")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: holds files that are not a bundle's; choose another place or empty it")


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    raw = _manifest_object(folder)
    stated = raw.pop("digest", None)
    if stated != _digest(raw):
        raise BundleError(
            f"{folder / MANIFEST}: was changed after it was written (its digest differs); export it again"
        )
    try:
        return Manifest.model_validate(raw), str(stated)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{folder / MANIFEST}: {where}: {first['msg']}; export it again") from error


def _manifest_object(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: is not a bundle (it has no {MANIFEST}); make one with `seatrial export`")
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: is over {MAX_MANIFEST_BYTES} bytes; that is no manifest")
    try:
        raw = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise BundleError(f"{path}: can't be read as JSON ({error}); it is truncated or foreign") from error
    if not isinstance(raw, dict) or raw.get("schema") != BUNDLE_SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
        raise BundleError(f"{path}: schema is {found!r}, this version reads {BUNDLE_SCHEMA!r}")
    return raw


def _digest(body: Mapping[str, Any]) -> str:
    try:
        return hashlib.sha256(canonical(body)).hexdigest()
    except (ValueError, TypeError) as error:
        raise BundleError(f"{MANIFEST}: holds a value that JSON can't carry: {error}") from error


def _verify(folder: Path, entry: FileEntry) -> None:
    _check_path(folder, entry.path)
    path = folder / entry.path
    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; export it again")
    size = path.stat().st_size
    if size != entry.size_bytes:
        raise BundleError(f"{path}: is {size} bytes, the manifest says {entry.size_bytes}: truncated or tampered with")
    if sha256_file(path) != entry.sha256:
        raise BundleError(f"{path}: its sha256 differs from the manifest's: it was changed after export")


def _check_path(folder: Path, path: str) -> None:
    pure = PurePosixPath(path)
    plain = pure.parts and not pure.is_absolute() and ".." not in pure.parts and str(pure) == path
    if not plain or "\\" in path or "\0" in path:
        raise BundleError(f"{folder}: file path {path!r} would leave the bundle; it is refused")
    if path == MANIFEST:
        raise BundleError(f"{folder}: {MANIFEST} can't list itself")
    if any((folder / parent).is_symlink() for parent in (pure, *pure.parents[:-1])):  # the last is the folder itself
        raise BundleError(f"{folder / path}: is a symbolic link; bundles hold plain files only")


def _require_named(folder: Path, manifest: Manifest) -> None:
    """What the manifest refers to must be among its files, in that role: nothing else gets to the device."""
    if not any(_belongs(entry, manifest.artifact) for entry in manifest.files):
        raise BundleError(
            f"{folder}: the manifest names {manifest.artifact!r}, but has no such artifact; export it again"
        )
    inputs, outputs = ([tensor.golden for tensor in side] for side in (manifest.inputs, manifest.outputs))
    for role, paths in {"golden_input": inputs, "golden_output": outputs}.items():
        files = {entry.path for entry in manifest.files if entry.role == role}
        for path in paths:
            if path not in files:
                raise BundleError(f"{folder}: the manifest names {path!r}, but has no such {role}; export it again")


def _belongs(entry: FileEntry, artifact: str) -> bool:
    return entry.role == "artifact" and (entry.path == artifact or entry.path.startswith(f"{artifact}/"))


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
    known = {entry.path for entry in manifest.files} | {MANIFEST}
    for path in _walk(folder):
        if path not in known:
            raise BundleError(f"{folder / path}: is not in the manifest; remove it, or export the bundle again")


def _walk(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield (Path(parent) / name).relative_to(folder).as_posix()
