"""seatrial bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from peers.program import Call
from seatrial_runner.bundle import Bundle


def test_show_tells_what_it_is(call: Call, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    said = call("bundle", "show", bundle.path)
    for word in (bundle.digest, "SQNR 90.0 dB", "model.onnx", "1x64", "float32"):
        assert word in said.out
    document = call("bundle", "show", bundle.path, "--json").document
    assert document["digest"] == bundle.digest
    assert document["manifest"]["schema"] == "seatrial.bundle/1"


def test_verify_takes_several(call: Call, make_bundle: Callable[..., Bundle]) -> None:
    bundles = [make_bundle("a"), make_bundle("b")]
    said = call("bundle", "verify", *(bundle.path for bundle in bundles))
    assert said.code == 0
    assert said.out.count("all 3 files are as they were written") == 2
    found = call("bundle", "verify", bundles[0].path, "--json").document
    assert found == [{"path": str(bundles[0].path), "digest": bundles[0].digest, "ok": True}]


def test_what_was_tampered_with_is_refused(call: Call, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    model = bundle.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    said = call("bundle", "verify", bundle.path)
    assert said.code == 2
    assert "model.onnx" in said.err
    assert "changed after export" in said.err


def test_a_folder_that_is_no_bundle(call: Call, tmp_path: Path) -> None:
    said = call("bundle", "show", tmp_path)
    assert said.code == 2
    assert "seatrial export" in said.err
    shutil.rmtree(tmp_path / "home")
    assert call("bundle", "show", tmp_path / "absent").code == 2
