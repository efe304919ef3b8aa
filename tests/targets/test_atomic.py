import os
import resource
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_come_back(tmp_path, data):
    path = tmp_path / "out"
    write_atomic(path, data)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8(tmp_path):
    write_atomic(tmp_path / "out", "größer ≥")
    assert (tmp_path / "out").read_bytes() == "größer ≥".encode()


def test_the_mode_is_kept_or_that_of_a_plain_open(tmp_path):
    plain, written, kept = (tmp_path / name for name in ("plain", "written", "kept"))
    plain.write_text("x")
    write_atomic(written, "x")
    assert written.stat().st_mode == plain.stat().st_mode
    kept.write_text("x")
    kept.chmod(0o640)
    write_atomic(kept, "y")
    assert kept.stat().st_mode & 0o777 == 0o640


def test_a_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(HarnessError, match=r"none/out: can't be written: No such file"):
        write_atomic(tmp_path / "none" / "out", "x")


def test_a_folder_in_the_way_leaves_nothing_behind(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(HarnessError, match="out"):
        write_atomic(tmp_path / "out", "x")
    assert os.listdir(tmp_path) == ["out"]


def test_a_disk_that_fills_up_leaves_the_old_content(tmp_path):
    """A limit on the size of files stands for the full disk: the write fails half way."""
    path = tmp_path / "out"
    path.write_text("old")
    code = "import sys; from seatrial_targets.atomic import write_atomic; write_atomic(sys.argv[1], b'x' * 1_000_000)"

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run([sys.executable, "-B", "-c", code, path], preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1
    assert "HarnessError" in done.stderr
    assert "nothing was changed" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
