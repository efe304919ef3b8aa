import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial_runner.bundle import Bundle, Content, canonical, write_bundle
from seatrial_runner.session import profile_of
from seatrial_targets.errors import BundleError

FIELDS = {
    "name": "tiny",
    "target": "x86-64-cpu-fp32",
    "profile": {},
    "runtime": "onnxruntime",
    "precision": "fp32",
    "artifact": "model.onnx",
    "inputs": ({"name": "x", "dtype": "float32", "shape": (1,), "golden_shape": (1,), "golden": "golden/x.npy"},),
    "outputs": (),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "b", contents(), FIELDS)


def contents() -> dict[str, Content]:
    return {"model.onnx": Content("artifact", b"model"), "golden/x.npy": Content("golden_input", b"xx")}


def test_what_was_written_is_read(bundle: Bundle):
    again = Bundle.open(bundle.path)
    assert again.digest == bundle.digest
    assert again.manifest.size_bytes == 5  # artifacts only
    assert again.file("model.onnx").read_bytes() == b"model"


def test_same_content_same_digest(bundle: Bundle, tmp_path: Path):
    assert write_bundle(tmp_path / "c", contents(), FIELDS).digest == bundle.digest


def test_other_content_other_digest(bundle: Bundle, tmp_path: Path):
    other = contents() | {"model.onnx": Content("artifact", b"modem")}
    assert write_bundle(tmp_path / "c", other, FIELDS).digest != bundle.digest


def test_content_from_a_file(tmp_path: Path):
    (tmp_path / "source").write_bytes(b"model")
    made = write_bundle(tmp_path / "b", contents() | {"model.onnx": Content("artifact", tmp_path / "source")}, FIELDS)
    assert made.file("model.onnx").read_bytes() == b"model"


@pytest.mark.parametrize("name", ["model.onnx", "golden/x.npy"])
def test_a_flipped_bit_is_found(bundle: Bundle, name: str):
    path = bundle.path / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="sha256"):
        Bundle.open(bundle.path)


def test_a_truncated_file_is_found(bundle: Bundle):
    os.truncate(bundle.path / "model.onnx", 2)
    with pytest.raises(BundleError, match="truncated"):
        Bundle.open(bundle.path)


def test_a_missing_file_is_found(bundle: Bundle):
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(BundleError, match="missing"):
        Bundle.open(bundle.path)


def test_an_added_file_is_found(bundle: Bundle):
    (bundle.path / "golden" / "extra.so").write_bytes(b"")
    with pytest.raises(BundleError, match="not in the manifest"):
        Bundle.open(bundle.path)


def test_an_edited_figure_is_found(bundle: Bundle):
    text = (bundle.path / "manifest.json").read_text()
    (bundle.path / "manifest.json").write_text(text.replace('"fp32"', '"int8"'))
    with pytest.raises(BundleError, match="was changed"):
        Bundle.open(bundle.path)


def test_a_link_out_of_the_bundle_is_refused(bundle: Bundle, tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"model")
    (bundle.path / "model.onnx").unlink()
    (bundle.path / "model.onnx").symlink_to(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="symbolic link"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "a/../../b", "a\\b", "", ".", "a//b", "manifest.json"])
def test_paths_that_escape_are_refused(tmp_path: Path, path: str):
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "b", {path: Content("artifact", b"")}, FIELDS)
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd"])
def test_a_forged_manifest_cannot_reach_out(bundle: Bundle, path: str):
    import hashlib

    raw = json.loads((bundle.path / "manifest.json").read_text())
    raw.pop("digest")
    raw["files"][0]["path"] = path
    raw["digest"] = hashlib.sha256(canonical(raw)).hexdigest()
    (bundle.path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError):
        Bundle.open(bundle.path)


def test_a_failed_write_leaves_the_old_bundle(bundle: Bundle, tmp_path: Path):
    with pytest.raises(BundleError):
        write_bundle(bundle.path, {"../evil": Content("artifact", b"")}, FIELDS)
    assert Bundle.open(bundle.path).digest == bundle.digest
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_bundle_replaces_a_bundle(bundle: Bundle, tmp_path: Path):
    write_bundle(bundle.path, contents() | {"model.onnx": Content("artifact", b"new")}, FIELDS)
    assert Bundle.open(bundle.path).file("model.onnx").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_other_peoples_folders_are_not_overwritten(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="not a bundle"):
        write_bundle(tmp_path / "b", contents(), FIELDS)
    assert (tmp_path / "b" / "thesis.txt").exists()


@settings(max_examples=60, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda c: st.dictionaries(st.text(max_size=8), c, max_size=4),
        ).map(lambda v: json.dumps(v).encode()),
    )
)
def test_any_manifest_gives_a_bundle_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    folder = tmp_path_factory.mktemp("b")
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError):
        Bundle.open(folder)


def test_goldens_load_without_pickle(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    made = write_bundle(
        tmp_path / "b", contents() | {"golden/x.npy": Content("golden_input", tmp_path / "x.npy")}, FIELDS
    )
    assert np.load(made.file("golden/x.npy"), allow_pickle=False).tolist() == [1, 1, 1]


def test_a_link_to_a_bundle_is_one(bundle: Bundle, tmp_path: Path):
    (tmp_path / "latest").symlink_to(bundle.path)
    assert Bundle.open(tmp_path / "latest").digest == bundle.digest


@pytest.mark.parametrize(
    "names", [{"artifact": "other.onnx"}, {"artifact": "golden/x.npy"}, {"outputs": FIELDS["inputs"]}]
)
def test_what_a_manifest_names_must_be_among_its_files(tmp_path: Path, names: dict):
    with pytest.raises(BundleError, match="has no such"):
        write_bundle(tmp_path / "b", contents(), FIELDS | names)


def test_an_artifact_may_be_a_folder_of_files(tmp_path: Path):
    parts = {
        "model.mlpackage/Manifest.json": Content("artifact", b"{}"),
        "model.mlpackage/Data/w": Content("artifact", b"w"),
    }
    files = parts | {"golden/x.npy": Content("golden_input", b"xx"), "model.mlpackages": Content("record", b"")}
    made = write_bundle(tmp_path / "b", files, FIELDS | {"artifact": "model.mlpackage"})
    assert [entry.path for entry in made.artifact_files()] == sorted(parts)
    assert made.manifest.size_bytes == 3
    with pytest.raises(BundleError, match="has no such artifact"):
        write_bundle(tmp_path / "c", files, FIELDS | {"artifact": "model.mlpack"})


def test_a_target_that_can_not_be_read_is_the_bundles_fault(bundle: Bundle):
    with pytest.raises(BundleError, match="its target can't be read: name: Field required"):
        profile_of(bundle)
