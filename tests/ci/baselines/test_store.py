"""Baselines kept by content: in a folder, and behind fsspec."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.sshd import free_port, wait_for_port
from seatrial_ci.baselines import Baselines
from seatrial_ci.baselines.storage import Folder, safe, without_secret
from seatrial_ci.gate import Check, Outcome, Verdict
from seatrial_runner.bundle import Bundle, Content, write_bundle
from seatrial_targets import registry
from seatrial_targets.errors import BundleError, HarnessError, SeatrialError, UserError

TARGET = "x86-64-cpu-fp32"


def bundle(folder: Path, content: bytes = b"model", name: str = "net") -> Bundle:
    fields = {
        "name": name,
        "target": TARGET,
        "profile": registry.get(TARGET).model_dump(mode="json", by_alias=True),
        "runtime": "onnxruntime",
        "precision": "fp32",
        "artifact": "model.onnx",
        "inputs": (),
        "outputs": (),
    }
    return write_bundle(folder, {"model.onnx": Content("artifact", content)}, fields)


def verdict(outcome: Outcome = Outcome.PASS, stamp: str = "") -> Verdict:
    check = Check(metric="size", outcome=outcome, message="m")
    return Verdict(
        outcome=outcome,
        reasons=(),
        checks=(check,),
        stamp=stamp,
        trial_id="t",
        device="d",
        target=TARGET,
        candidate="net",
    )


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3's protocol on loopback (moto's, a stand-in for a bucket)."""
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port("127.0.0.1", port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new bucket on it; the environment tells where it is, as for any S3-compatible store."""
    import s3fs

    for key, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{time.monotonic_ns()}"
    s3fs.S3FileSystem().mkdir(name)
    yield name
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["folder", "fsspec", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Baselines:
    if request.param == "folder":
        return Baselines.open(tmp_path / "store", tmp_path / "cache")
    if request.param == "s3":
        return Baselines.open(f"s3://{request.getfixturevalue('bucket')}/store", tmp_path / "cache")
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return Baselines.open("memory://bucket/store", tmp_path / "cache")


def test_what_was_kept_comes_back_verified(store: Baselines, tmp_path: Path) -> None:
    made = bundle(tmp_path / "one")
    store.put(made, {"branch": "main", "tag": "v1"}, verdict())
    for reference in ("branch:main", "tag:v1", f"digest:{made.digest[:12]}"):
        found = Bundle.open(store.find(reference, "net", TARGET))
        assert found.digest == made.digest
        assert found.path != made.path


def test_a_branch_moves_and_a_tag_does_not(store: Baselines, tmp_path: Path) -> None:
    first, second = bundle(tmp_path / "one", b"1"), bundle(tmp_path / "two", b"2")
    store.put(first, {"branch": "main", "tag": "v1"}, verdict())
    store.put(second, {"branch": "main"}, verdict())
    assert store.find("branch:main", "net", TARGET).name == second.digest
    with pytest.raises(UserError, match="already means another bundle"):
        store.put(second, {"tag": "v1"}, verdict())
    store.put(first, {"tag": "v1"}, verdict())  # the same again is nothing new


def test_another_name_takes_nothing_from_a_bundle_that_passed(tmp_path: Path) -> None:
    store, made = Baselines.open(tmp_path / "store", tmp_path / "cache"), bundle(tmp_path / "one")
    store.put(made, {"branch": "main"}, verdict())
    store.put(made, {"branch": "next", "commit": "abc"}, unproven=True)
    assert store.find("branch:next", "net", TARGET).name == made.digest
    assert store.record(made.digest).labels == {"branch": "next", "commit": "abc"}
    store.put(made, {"tag": "v1"}, verdict(Outcome.FAIL), unproven=True)  # what its gate says now is what counts
    assert not store.record(made.digest).fit


def test_one_branch_has_a_baseline_of_each_model(store: Baselines, tmp_path: Path) -> None:
    one, two = bundle(tmp_path / "one", b"1"), bundle(tmp_path / "two", b"2", "other")
    store.put(one, {"branch": "main"}, verdict())
    store.put(two, {"branch": "main"}, verdict())
    assert store.find("branch:main", "net", TARGET).name == one.digest
    assert store.find("branch:main", "other", TARGET).name == two.digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "nothing is known of its own gate"),
        (verdict(Outcome.FAIL), "its own gate ended with FAIL"),
        (verdict(Outcome.INCONCLUSIVE), "its own gate ended with INCONCLUSIVE"),
        (verdict(stamp="QEMU"), "ran on QEMU, not on real hardware"),
    ],
)
def test_what_did_not_pass_is_no_baseline(store: Baselines, tmp_path: Path, given: Verdict | None, said: str) -> None:
    made = bundle(tmp_path / "one")
    with pytest.raises(UserError, match=said):
        store.put(made, {"branch": "main"}, given)
    store.put(made, {"branch": "main"}, given, unproven=True)
    with pytest.raises(UserError, match=said):
        store.find("branch:main", "net", TARGET)
    assert store.find("branch:main", "net", TARGET, allow_unproven=True).is_dir()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("branch:mian", "did you mean 'branch:main'"),
        ("tag:v2", "keep one with `seatrial baseline add`"),
        ("digest:00000000", "no bundle"),
        ("brnch:main", "no reference"),
        ("branch:", "no reference"),
        ("digest:../../x", "no reference"),
    ],
)
def test_an_unknown_reference_says_so(store: Baselines, tmp_path: Path, reference: str, said: str) -> None:
    store.put(bundle(tmp_path / "one"), {"branch": "main"}, verdict())
    with pytest.raises(SeatrialError, match=said):
        store.find(reference, "net", TARGET)


def test_a_bundle_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    store = Baselines.open(tmp_path / "store", tmp_path / "cache")
    made = bundle(tmp_path / "one")
    store.put(made, {"branch": "main"}, verdict())
    (tmp_path / "store" / "objects" / made.digest / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError):
        store.find("branch:main", "net", TARGET)


def test_a_damaged_record_names_the_store(tmp_path: Path) -> None:
    store = Baselines.open(tmp_path / "store", tmp_path / "cache")
    made = bundle(tmp_path / "one")
    store.put(made, {"branch": "main"}, verdict())
    (tmp_path / "store" / "records" / f"{made.digest}.json").write_text("{")
    with pytest.raises(HarnessError, match="is damaged"):
        store.find("branch:main", "net", TARGET)


def test_removed_is_gone(store: Baselines, tmp_path: Path) -> None:
    made = bundle(tmp_path / "one")
    store.put(made, {"branch": "main", "release": "1.0"}, verdict())
    store.remove(made.digest[:10])
    assert store.list() == []
    assert store.references() == {}
    with pytest.raises(SeatrialError):
        store.find("branch:main", "net", TARGET)


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=30))
def test_any_name_of_a_branch_is_one_part_of_a_path(name: str) -> None:
    import tempfile

    try:
        name.encode()
    except UnicodeEncodeError:
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        store = Baselines.open(place / "s", place / "c")
        made = bundle(place / "b")
        store.put(made, {"branch": name}, verdict())
        assert store.find(f"branch:{name}", "net", TARGET).name == made.digest
        assert {p.relative_to(place).parts[0] for p in place.rglob("*")} == {"s", "c", "b"}


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../b", "..", "", "a\\b", "a\0b"])
def test_paths_stay_in_the_store(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a path within a store"):
        safe(path)
    with pytest.raises(UserError):
        Folder(tmp_path).read(path)


def test_secrets_of_an_address_are_not_shown() -> None:
    assert without_secret("s3://key:secret@host/x") == "s3://***@host/x"
    with pytest.raises(SeatrialError) as caught:
        Baselines.open("nosuch://me:hunter2@host/bucket")
    assert "hunter2" not in str(caught.value)


def test_many_put_at_once(tmp_path: Path) -> None:
    made = [bundle(tmp_path / f"b{i}", b"%d" % i) for i in range(8)]

    def put(one: Bundle) -> None:
        Baselines.open(tmp_path / "store", tmp_path / "cache").put(one, {"branch": "main"}, verdict())

    threads = [threading.Thread(target=put, args=(one,)) for one in made]
    _all(threads, threading.Thread.start)
    _all(threads, threading.Thread.join)
    store = Baselines.open(tmp_path / "store", tmp_path / "cache")
    assert len(store.list()) == 8
    assert store.find("branch:main", "net", TARGET).name in {one.digest for one in made}


def _all(threads: list[threading.Thread], act: Callable[[threading.Thread], None]) -> None:
    for thread in threads:
        act(thread)


def test_a_bucket_that_is_not_there_is_said(bucket: str, tmp_path: Path) -> None:
    store = Baselines.open("s3://no-such-bucket-here/store", tmp_path / "cache")
    with pytest.raises(HarnessError, match=r"s3://no-such-bucket-here.*no such bucket") as caught:
        store.put(bundle(tmp_path / "one"), {"branch": "main"}, verdict())
    assert "s3cret" not in str(caught.value)
    import s3fs

    assert not s3fs.S3FileSystem().exists("no-such-bucket-here")  # nor was one made of a mistyped name
