"""seatrial report: reports of recorded trials, whatever the files, the disk and the history are like."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from made_trials import MS, TrialMaker
from peers.program import QUICK, Call
from seatrial_ci.gate import judge
from seatrial_ci.history import History
from seatrial_runner.bundle import Bundle
from seatrial_targets.budgets import Budgets

REPORTS = ("html", "markdown", "junit", "verdict-json", "comment", "openmetrics", "bmf", "benchmark-json", "badge")


def kept(name: str, latency: float = 10 * MS, digest: str = "c", **changes: object) -> Path:
    """A trial on disk; with ``digest`` its bundle is another one."""
    trial = TrialMaker().solos(4, latency).solos(4, bundle="baseline").duets(8, latency / (10 * MS) - 1).trial()
    bundles = {
        r: b.model_copy(update={"digest": (digest if r == "candidate" else "b") * 64}) for r, b in trial.bundles.items()
    }
    path = Path(name)
    path.write_text(trial.model_copy(update={"bundles": bundles, **changes}).model_dump_json(by_alias=True))
    return path


def test_every_report_is_written_and_named(call: Call) -> None:
    options = [word for kind in REPORTS for word in (f"--{kind}", f"out/{kind}")]
    said = call("report", kept("trial.json"), *options)
    assert said.code == 0, said.err
    for kind in REPORTS:
        assert (Path("out") / kind).stat().st_size > 50, kind
        assert f"out/{kind}" in said.out
    assert list(Path("out").glob(".*")) == []


def test_variants_stand_beside_each_other(call: Call) -> None:
    trials = [kept(f"{n}.json", n * 10 * MS, str(n), id=f"trial-{n}") for n in (1, 2, 3)]
    said = call("report", *trials, "--html", "all.html", "--markdown", "all.md", "--json")
    assert said.code == 0, said.err
    assert [each["outcome"] for each in json.loads(said.out)] == ["PASS", "FAIL", "FAIL"]
    page, text = Path("all.html").read_text(), Path("all.md").read_text()
    assert "3 trials" in page
    assert "Latency, accuracy and size of the variants" in page
    assert "Latency, accuracy and size of the variants" in text


def test_a_trial_that_is_named_twice_is_shown_once(call: Call) -> None:
    path = kept("trial.json")
    assert isinstance(json.loads(call("report", path, path, "--json").out), dict)


def measured(name: str) -> Path:
    trial = TrialMaker().solos(4).trial(baseline=False)
    Path(name).write_text(trial.model_dump_json(by_alias=True))
    return Path(name)


def test_a_trial_that_was_only_measured_is_shown_without_a_verdict(call: Call) -> None:
    said = call("report", measured("bench.json"), "--html", "a.html", "--markdown", "a.md", "--no-history")
    assert said.code == 0, said.err
    assert "not judged: it has no limit and no baseline" in said.out
    assert "MEASURED: net-int8" in Path("a.html").read_text().replace(
        '<span class="MEASURED">MEASURED</span>', "MEASURED"
    )
    assert Path("a.md").read_text().startswith("# MEASURED: net-int8 (generic-arm64) on lab-pi")
    document = json.loads(call("report", "bench.json", "--json", "--no-history").out)
    assert document["outcome"] is None
    assert document["summary"]["bundles"][0]["latency"]["p50"]["value"] > 0


def test_a_report_of_verdicts_needs_one_and_limits_give_it(call: Call) -> None:
    said = call("report", kept("gate.json"), measured("bench.json"), "--junit", "j.xml", "--html", "a.html")
    assert said.code == 2
    assert "bench.json: nothing to judge, so --junit can't be written" in said.err
    assert not Path("a.html").exists()
    Path("b.yaml").write_text("latency_p50: 1 s\n")
    assert call("report", "bench.json", "--budgets", "b.yaml", "--junit", "j.xml", "--no-history").code == 0


def remembered(count: int, **changes: object) -> None:
    with History.open() as history:
        for number in range(count):
            trial = TrialMaker(number).solos(4).trial(id=f"t{number}", started_unix_ns=(number + 1) * 10**9, **changes)
            history.add(trial, judge(trial, Budgets.model_validate({"size": "1 GB"})))


def test_the_history_of_the_model_on_the_device_is_shown(call: Call) -> None:
    remembered(6)
    path = kept("trial.json", id="t3")
    call("report", path, "--html", "a.html", "--markdown", "a.md")
    assert "p50 of the last 6 trials" in Path("a.html").read_text()
    assert Path("a.md").read_text().count("| this trial |") == 1
    call("report", path, "--no-history", "--markdown", "b.md")
    assert "Earlier trials of this model on this device: no history was asked" in Path("b.md").read_text()


def test_what_was_measured_elsewhere_is_no_history_of_this_device(call: Call) -> None:
    remembered(6, device={"name": "other", "target": "raspberry-pi-5", "transport": "ssh"})
    call("report", kept("trial.json"), "--markdown", "a.md")
    assert "the history knows no earlier one" in Path("a.md").read_text()


def test_a_report_makes_no_history_and_a_broken_one_does_not_keep_it_from_being(call: Call, home: Path) -> None:
    path = kept("trial.json")
    assert call("report", path, "--markdown", "a.md").code == 0
    assert "there is no history yet" in Path("a.md").read_text()
    assert not list(home.rglob("*.sqlite"))
    Path("broken.sqlite").write_text("not a database, but long enough to be one" * 100)
    said = call("report", path, "--history", "broken.sqlite", "--markdown", "b.md")
    assert said.code == 0, said.err
    assert "not a history, or damaged" in Path("b.md").read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ('{"schema": "seatrial.trial/1", "id"', "truncated"),
        ('{"schema": "other/1"}', "other/1"),
        ("[1, 2]", "trial"),
        ("\0\1\2", "trial"),
    ],
)
def test_a_file_that_is_no_trial_is_said_and_nothing_is_written(call: Call, content: str, said: str) -> None:
    Path("bad.json").write_text(content)
    found = call("report", kept("good.json"), "bad.json", "--html", "page.html")
    assert found.code == 2
    assert "bad.json" in found.err
    assert said in found.err
    assert not Path("page.html").exists()


@pytest.mark.parametrize(("value", "code"), [(-1, 2), (float("nan"), 2), (0, 0)])
def test_times_that_can_not_be(call: Call, value: float, code: int) -> None:
    """Negative and NaN are refused as no trial; a clock that stands still is INVALID, and says so in the report."""
    document = json.loads(kept("trial.json").read_text())
    solo = next(run for run in document["runs"] if run["kind"] == "solo")
    solo["result"]["arms"]["a"]["wall_ns"] = [value] * 64
    Path("trial.json").write_text(json.dumps(document))
    found = call("report", "trial.json", "--markdown", "a.md")
    assert found.code == code, found.err
    assert "clock" in Path("a.md").read_text() if code == 0 else "wall_ns" in found.err


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 kB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a file system that is full")
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount: a file system that is full")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_old_report_whole_and_the_others_written(call: Call, full_disk: Path) -> None:
    page = full_disk / "page.html"
    page.write_text("the old one")
    said = call("report", kept("trial.json"), "--html", page, "--markdown", "a.md")
    assert said.code == 3
    assert "No space left on device" in said.err
    assert "nothing was changed" in said.err
    assert page.read_text() == "the old one"
    assert [path.name for path in full_disk.iterdir()] == ["page.html"]
    gated = call("gate", "--from", "trial.json", "--html", page)
    assert (gated.code, "PASS" in gated.out) == (3, True)  # the verdict is said all the same
    assert Path("a.md").read_text().startswith("# ")


@pytest.mark.slow
def test_what_a_real_agent_brings_back_is_drawn(call: Call, make_bundle: Callable[..., Bundle]) -> None:
    """Operators and minutes under load, as this machine's agent and ONNX Runtime's profiler tell them."""
    words = ("--device", "local", *QUICK, "--profile", "--sustain", "10s", "--out", "trial.json")
    assert call("bench", make_bundle().path, *words).code == 0
    assert call("report", "trial.json", "--html", "a.html", "--no-history").code == 0
    page = Path("a.html").read_text()
    for key in ("runs", "session", "sustained", "layers"):
        assert f'id="cell0-{key}"' in page, key
    assert "MatMul" in page
    assert "has no first and last minute apart" in page


@pytest.mark.slow
def test_mlflow_has_verdict_figures_and_the_whole_document(program: Call) -> None:
    """MLflow's own client, into a database of its own."""
    path = kept("trial.json", 13 * MS)
    said = program("report", path, "--mlflow", "sqlite:///runs.db", "--no-history")
    assert said.code == 0, said.err
    with closing(sqlite3.connect("runs.db")) as database:
        metrics = dict(database.execute("select key, value from metrics"))
        tags = dict(database.execute("select key, value from tags"))
        ((status, place),) = database.execute("select status, artifact_uri from runs").fetchall()
    assert metrics["latency_p50_seconds"] == pytest.approx(0.013, rel=0.05)
    assert metrics["latency_p50_seconds.low"] < metrics["latency_p50_seconds"] < metrics["latency_p50_seconds.high"]
    assert metrics["size_bytes"] == 5_000_000
    assert (tags["seatrial.outcome"], tags["seatrial.device"], status) == ("FAIL", "lab-pi", "FAILED")
    document = json.loads((Path(place.removeprefix("file://")) / "verdict.json").read_text())
    assert document["verdict"]["outcome"] == "FAIL"


@pytest.mark.slow
def test_an_mlflow_that_can_not_be_reached_is_said_and_keeps_its_password_to_itself(program: Call) -> None:
    once = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    uri = "http://me:s3cret@127.0.0.1:1"
    said = program("report", kept("trial.json"), "--mlflow", uri, "--markdown", "a.md", "--no-history", **once)
    assert said.code == 3
    assert "MLflow at" in said.err
    assert "s3cret" not in said.err + said.out
    assert Path("a.md").exists()
