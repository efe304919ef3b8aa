"""The sticky comment, against a server that speaks as much of GitHub's API as it uses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

SCRIPT = Path(__file__).parents[2] / "ci" / "github" / "comment" / "comment.py"
MARKER = "<!-- seatrial:chain@lab-pi -->"
SHA = "c" * 40


class GitHub(BaseHTTPRequestHandler):
    """The repository me/model: pull request 7 of a fork, and its comments."""

    comments: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(place.query).items()}
        page = slice((int(query["page"]) - 1) * 100, int(query["page"]) * 100)
        if place.path == "/repos/me/model/issues/7/comments":
            self.answer(self.comments[page])
        elif place.path == "/repos/me/model/pulls" and query["head"] == "ann:fix&more":
            self.answer([{"number": 3, "head": {"sha": "d" * 40}}, {"number": 7, "head": {"sha": SHA}}])
        else:
            self.answer([])

    def do_POST(self) -> None:
        assert self.path == "/repos/me/model/issues/7/comments"
        self.comments.append({"id": 900, "user": {"type": "Bot"}, "body": self.body()})
        self.answer({})

    def do_PATCH(self) -> None:
        number = int(self.path.removeprefix("/repos/me/model/issues/comments/"))
        next(each for each in self.comments if each["id"] == number)["body"] = self.body()
        self.answer({})

    def body(self) -> str:
        assert self.headers["Authorization"] == "Bearer t0ken"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]

    def answer(self, what: Any) -> None:
        content = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[str]:
    GitHub.comments = [{"id": n, "user": {"type": "User"}, "body": f"{MARKER}\nforged"} for n in range(130)]
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def post(github: str, tmp_path: Path, text: str, **which: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "comment.md").write_text(text)
    own = {"GITHUB_API_URL": github, "GITHUB_REPOSITORY": "me/model", "TOKEN": "t0ken", "FILE": "comment.md"}
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT)], cwd=tmp_path, env=own | which, capture_output=True, text=True, check=False
    )


def test_one_comment_is_made_and_then_updated(github: str, tmp_path: Path) -> None:
    for said in ("FAIL", "PASS"):
        done = post(github, tmp_path, f"{MARKER}\n{said}", PULL_REQUEST="7")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [each["body"] for each in GitHub.comments[130:]] == [f"{MARKER}\n{said}"]
    assert all(each["body"].endswith("forged") for each in GitHub.comments[:130])


def test_the_pull_request_of_a_fork_is_found_by_head_and_commit(github: str, tmp_path: Path) -> None:
    done = post(github, tmp_path, f"{MARKER}\nPASS", HEAD="ann:fix&more", HEAD_SHA=SHA)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(GitHub.comments) == 131


@pytest.mark.parametrize(
    ("text", "which"),
    [
        (f"{MARKER}\nPASS", {"HEAD": "ann:fix&more", "HEAD_SHA": "e" * 40}),
        ("PASS", {"PULL_REQUEST": "7"}),
        ("", {"PULL_REQUEST": "7"}),
        (f"{MARKER}\nPASS", {"PULL_REQUEST": "7/../../8"}),
    ],
)
def test_what_does_not_fit_is_not_posted(github: str, tmp_path: Path, text: str, which: dict[str, str]) -> None:
    done = post(github, tmp_path, text, **which)
    assert done.returncode == 1
    assert done.stdout.startswith("::warning title=Seatrial::the comment was not written: ")
    assert len(GitHub.comments) == 130
