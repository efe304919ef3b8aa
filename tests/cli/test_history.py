"""history and calibrate on this machine: real agent, real ONNX Runtime, real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from made_trials import MS, TrialMaker
from peers.program import QUICK, Call
from seatrial_ci.gate import judge, load_trial
from seatrial_ci.history import History
from seatrial_runner.bundle import Bundle
from seatrial_targets.budgets import Budgets

MakeBundle = Callable[..., Bundle]
DAY = 86_400 * 10**9


@pytest.fixture
def filled(home: Path) -> Path:
    """A history of 20 trials of one bundle, the last ten of them 30 % slower, each a day after the other."""
    path = Path("h.sqlite")
    with History.open(path) as history:
        for day in range(20):
            maker = TrialMaker(day).solos(5, (10 if day < 10 else 13) * MS).duets(8)
            trial = maker.trial(id=f"{day:08d}-trial", started_unix_ns=(day + 1) * DAY)
            history.add(trial, judge(trial, Budgets()), {"branch": "main", "commit": f"c{day}"})
    return path


def test_a_trial_is_shown_and_written_again(call: Call, filled: Path) -> None:
    said = call("history", "show", "00000003", "--out", "again.json", "--history", filled)
    assert said.code == 0, said.err
    for text in ("branch: main", "commit: c3", "PASS: by rule", "latency p50", "trial: again.json"):
        assert text in said.out
    assert load_trial(Path("again.json")).id == "00000003-trial"
    assert call("gate", "--from", "again.json").code == 0
    document = call("history", "show", "00000003", "--history", filled, "--json").document
    assert document["labels"] == {"branch": "main", "commit": "c3"}
    assert document["verdicts"][0]["outcome"] == "PASS"
    ambiguous = call("history", "show", "0", "--history", filled)
    assert (ambiguous.code, "more than one" in ambiguous.err) == (2, True)


def test_a_trend_names_where_the_level_changed(call: Call, filled: Path) -> None:
    said = call("history", "trend", "latency_p50", "--history", filled)
    assert said.code == 0, said.err
    (marked,) = [line for line in said.out.splitlines() if "from here" in line]
    assert "c10" in marked
    assert "+30" in marked or "+29" in marked
    (trend,) = call("history", "trend", "latency_p50", "--history", filled, "--json").document
    assert len(trend["points"]) == 20
    assert [change["point"]["commit"] for change in trend["changes"]] == ["c10"]
    assert "no trial has" in call("history", "trend", "peak_memory", "--history", filled).out


def test_lists_are_narrowed_by_branch_and_the_environment_names_the_place(
    call: Call, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_HISTORY", str(filled))
    assert len(call("history", "list", "--branch", "main", "--limit", 99, "--json").document) == 20
    assert call("history", "list", "--branch", "other", "--json").document == []


def test_pruning_asks_tells_and_removes(call: Call, filled: Path) -> None:
    told = call("history", "prune", "--older-than", 0, "--dry-run", "--history", filled)
    assert "would go: 19 trials" in told.out
    assert call("history", "prune", "--older-than", 0, "--history", filled).code == 130  # nobody said yes
    assert len(call("history", "list", "--limit", 99, "--history", filled, "--json").document) == 20
    bare = call("history", "prune", "--older-than", 0, "--samples-only", "--yes", "--history", filled, "--json")
    assert bare.document["trials"] == 19
    shown = call("history", "show", "00000001", "--history", filled)
    assert "samples: pruned" in shown.out
    assert "can't be judged again" in shown.err
    assert call("history", "prune", "--older-than", 0, "--yes", "--history", filled).code == 0
    assert len(call("history", "list", "--limit", 99, "--history", filled, "--json").document) == 1


def test_tables_are_exported(call: Call, filled: Path) -> None:
    said = call("history", "export", "tables", "--samples", "--history", filled)
    assert said.code == 0, said.err
    assert parquet.read_table("tables/trials.parquet").num_rows == 20
    assert parquet.read_table("tables/samples.parquet").num_rows == 20 * (5 + 2 * 8)


def test_artifacts_are_imported(call: Call, filled: Path) -> None:
    call("history", "show", "00000003", "--out", "artifacts/trial.json", "--history", filled)
    said = call("history", "import", "artifacts", "--label", "branch=old", "--history", "new.sqlite")
    assert said.out == "added 1 of 1 trials, the others were known; 0 verdicts\n"
    assert len(call("history", "list", "--branch", "old", "--history", "new.sqlite", "--json").document) == 1
    wrong = call("history", "import", "artifacts", "--label", "branch", "--history", "new.sqlite")
    assert (wrong.code, "KEY=VALUE" in wrong.err) == (2, True)


def test_a_gate_labels_what_it_keeps(call: Call, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("GITHUB_SHA", "GITHUB_REF_NAME", "GITHUB_REF_TYPE", "GITHUB_HEAD_REF"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("CI_COMMIT_SHA", "abc")
    monkeypatch.setenv("CI_COMMIT_BRANCH", "main")
    Path("budgets.yaml").write_text("latency_p50: 10 s\n")
    words = ("--device", "local", "--budgets", "budgets.yaml", "--label", "release=1.0", *QUICK)
    assert call("gate", make_bundle().path, *words).code == 0
    (entry,) = call("history", "list", "--branch", "main", "--json").document
    shown = call("history", "show", entry["trial_id"], "--json").document
    assert shown["labels"] == {"branch": "main", "commit": "abc", "release": "1.0"}
    wrong = call("gate", make_bundle().path, "--device", "local", "--budgets", "budgets.yaml", "--label", "x", *QUICK)
    assert (wrong.code, "KEY=VALUE" in wrong.err) == (2, True)


def test_a_calibration_is_kept_and_asked(call: Call, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    said = call("calibrate", bundle.path, "--device", "local", "--pairs", 16, "--json", *QUICK[2:], "--runs", 3)
    assert said.code in (0, 3), said.err  # a busy machine may drift
    found = {noise["metric"]: noise for noise in said.document["noise"]}
    assert found["latency_p50"]["count"] == 16
    assert found["latency_p50"]["mde"] > 0.01
    trial = load_trial(Path(said.document["file"]))
    assert trial.bundles["candidate"].digest == trial.bundles["baseline"].digest
    assert len(trial.of("duet")) == 16
    assert [entry["trial_id"] for entry in call("history", "list", "--json").document] == [trial.id]


def test_a_margin_that_the_device_can_not_show_is_refused_before_measuring(call: Call, make_bundle: MakeBundle) -> None:
    bundle, other = make_bundle("chain"), make_bundle("other", depth=5)
    maker = TrialMaker().solos(10).solos(10, bundle="baseline").duets(32, sd=0.08)
    info = (
        maker.trial()
        .bundles["candidate"]
        .model_copy(update={"name": "chain", "target": bundle.manifest.target, "digest": bundle.digest})
    )
    device = maker.trial().device.model_copy(update={"name": "local"})
    with History.open() as history:
        history.add(maker.trial(bundles={"candidate": info, "baseline": info}, device=device))
    words = ("gate", bundle.path, "--baseline", other.path, "--device", "local", "--looks", "5", *QUICK)
    said = call(*words)
    assert said.code == 2
    assert "local can't show a worsening of 5 % in latency p50" in said.err
    assert "--below-mde warn" in said.err
    assert not Path("trials/chain@local.json").exists()
    warned = call(*words, "--below-mde", "warn", "--json")
    assert warned.code in (0, 1, 3, 4)
    assert any("can't show a worsening" in note for note in warned.document["notes"])
    again = call("gate", "--from", "trials/chain@local.json", "--json")
    assert again.document["notes"] == warned.document["notes"]


def test_a_baseline_that_failed_its_own_gate_is_refused(call: Call, make_bundle: MakeBundle) -> None:
    new, old = make_bundle("new"), make_bundle("old", depth=5)
    Path("tight.yaml").write_text("latency_p50: 1 ns\n")
    assert call("gate", old.path, "--device", "local", "--budgets", "tight.yaml", *QUICK).code == 1
    said = call("gate", new.path, "--baseline", old.path, "--device", "local", *QUICK)
    assert said.code == 2
    assert "can't be a baseline: its own gate on local ended with FAIL" in said.err
    assert not Path("trials/new@local.json").exists()
    blind = call("gate", new.path, "--baseline", old.path, "--device", "local", "--looks", 5, "--no-history", *QUICK)
    assert blind.code in (0, 4, 1)


def test_a_baseline_by_reference_needs_no_policy(call: Call, make_bundle: MakeBundle) -> None:
    made = make_bundle("chain")
    Path("budgets.yaml").write_text("latency_p50: 10 s\n")
    words = ("--device", "local", "--budgets", "budgets.yaml", "--out", "first.json", *QUICK)
    assert call("gate", made.path, *words).code == 0
    place = ("--store", "kept")
    assert call("baseline", "add", made.path, "--branch", "main", "--trial", "first.json", *place).code == 0
    quick = ("--device", "local", "--looks", 5, *QUICK)
    said = call("gate", made.path, "--baseline", "branch:main", "--baselines", "kept", *quick, "--json")
    assert said.code in (0, 4), said.err
    assert said.document["baseline"] == "chain"
    missing = call("gate", made.path, "--baseline", "branch:mian", "--baselines", "kept", *quick)
    assert missing.code == 2
    assert "did you mean 'branch:main'" in missing.err


def test_unlike_bundles_are_refused_before_measuring(call: Call, make_bundle: MakeBundle) -> None:
    one, other = make_bundle("one"), make_bundle("other")
    path = other.path / "manifest.json"
    raw = json.loads(path.read_text())
    raw.pop("digest")
    raw["toolchain"] = {"torch": "1.0"}
    _rewrite(path, raw)
    mine = one.path / "manifest.json"
    raw = json.loads(mine.read_text())
    raw.pop("digest")
    raw["toolchain"] = {"torch": "2.0"}
    _rewrite(mine, raw)
    words = ("gate", one.path, "--baseline", other.path, "--device", "local", "--looks", 5, *QUICK)
    said = call(*words)
    assert said.code == 2
    assert "unlike in toolchain: torch 2.0 in the candidate, 1.0 in the baseline" in said.err
    assert not Path("trials/one@local.json").exists()
    warned = call(*words, "--unlike", "warn", "--json")
    assert any("unlike in toolchain" in note for note in warned.document["notes"])
    assert call("gate", "--from", "trials/one@local.json").code == warned.code
    assert call("gate", "--from", "trials/one@local.json", "--unlike", "refuse").code == 3


def test_the_plan_and_the_looks_are_told(call: Call, make_bundle: MakeBundle) -> None:
    new, old = make_bundle("new"), make_bundle("old")
    said = call("gate", new.path, "--baseline", old.path, "--device", "local", "--looks", "5,6", *QUICK)
    assert "plan: 2 memory, 4 latency runs, then pairs of both bundles" in said.err
    assert "on to the first look; about" in said.err


def _rewrite(path: Path, raw: dict[str, object]) -> None:
    from hashlib import sha256

    from seatrial_runner.bundle import canonical

    path.write_text(json.dumps({"digest": sha256(canonical(raw)).hexdigest(), **raw}))
