"""What a trial was of, as CI systems say it and as git does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from seatrial_ci.history.labels import labels_of_environment, parse_labels
from seatrial_targets.errors import UserError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"GITHUB_SHA": "c1", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"},
            {"commit": "c1", "branch": "main"},
        ),
        ({"GITHUB_SHA": "c1", "GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"}, {"commit": "c1", "tag": "v1"}),
        (
            {
                "GITHUB_SHA": "c1",
                "GITHUB_HEAD_REF": "fix",
                "GITHUB_REF_NAME": "12/merge",
                "GITHUB_REF_TYPE": "branch",
            },
            {"commit": "c1", "branch": "fix"},
        ),
        ({"CI_COMMIT_SHA": "c2", "CI_COMMIT_BRANCH": "main"}, {"commit": "c2", "branch": "main"}),
        ({"CI_COMMIT_SHA": "c2", "CI_COMMIT_TAG": "v2"}, {"commit": "c2", "tag": "v2"}),
        (
            {"CI_COMMIT_SHA": "c2", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix"},
            {"commit": "c2", "branch": "fix"},
        ),
        ({"GIT_COMMIT": "c3", "GIT_BRANCH": "origin/main"}, {"commit": "c3", "branch": "main"}),
        ({"GIT_COMMIT": "c" * 900}, {"commit": "c" * 200}),
    ],
)
def test_ci_systems(environment: dict[str, str], expected: dict[str, str]) -> None:
    assert labels_of_environment(environment) == expected


def test_git_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert labels_of_environment({}) == {}

    def git(*words: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=trunk"]
        return subprocess.run(["git", *settings, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "one")
    assert labels_of_environment({}) == {"commit": git("rev-parse", "HEAD"), "branch": "trunk"}
    git("checkout", "--detach")
    assert labels_of_environment({}) == {"commit": git("rev-parse", "HEAD")}


def test_labels_of_the_command_line() -> None:
    assert parse_labels(["release=1.2", "ticket.id=a=b"]) == {"release": "1.2", "ticket.id": "a=b"}


@pytest.mark.parametrize("text", ["release", "=1", "release=", "Release=1", "a b=1", "x" * 50 + "=1"])
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(UserError, match="KEY=VALUE"):
        parse_labels([text])
