"""What a trial was of, in the words of version control: branch, commit, tag, release."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping

from seatrial_targets.errors import UserError

# Where CI systems say it, in the order in which they are believed. A pull request's branch is its own, not that it is
# to be merged into.
SOURCES: dict[str, tuple[str, ...]] = {
    "commit": ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BITBUCKET_COMMIT"),
    "branch": (
        "GITHUB_HEAD_REF",
        "CI_COMMIT_BRANCH",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
        "BRANCH_NAME",
        "GIT_BRANCH",
    ),
    "tag": ("CI_COMMIT_TAG", "TAG_NAME"),
}
MOST_TEXT = 200


def labels_of_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the CI system says, else what git says of the working folder; nothing where neither does."""
    found = {key: next((environment[n] for n in names if environment.get(n)), "") for key, names in SOURCES.items()}
    ref, kind = environment.get("GITHUB_REF_NAME", ""), environment.get("GITHUB_REF_TYPE", "")
    if kind in ("branch", "tag") and not found[kind]:
        found[kind] = ref
    if not found["commit"]:
        found |= {"commit": _git("rev-parse", "HEAD"), "branch": found["branch"] or _git("branch", "--show-current")}
    found["branch"] = found["branch"].removeprefix("origin/")  # as Jenkins says it
    return {key: value[:MOST_TEXT] for key, value in found.items() if value}


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return {'release': '1.2'} of 'release=1.2'. Raises UserError for anything else."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not value or not re.fullmatch(r"[a-z][a-z0-9_.-]{0,39}", key):
            raise UserError(f"label {text!r} is not KEY=VALUE with a key like branch, commit, tag or release")
        found[key] = value[:MOST_TEXT]
    return found


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
