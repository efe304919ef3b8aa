"""Keep one comment of a pull request up to date: the one that begins with the first line of the file.

Needs only Python's own library. Environment: GITHUB_API_URL, GITHUB_REPOSITORY, TOKEN, FILE (comment.md of a gate), and
PULL_REQUEST, a number, or HEAD (owner:branch) and HEAD_SHA, by which the open pull request is found.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

MOST_PAGES = 30


def api(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """Ask the API of GitHub; return the decoded answer."""
    request = urllib.request.Request(  # noqa: S310
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Bearer {os.environ['TOKEN']}", "Accept": "application/vnd.github+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def pages(path: str) -> Iterator[Any]:
    """Yield the items of a list, page by page."""
    for page in range(1, MOST_PAGES + 1):
        items = api("GET", f"{path}{'&' if '?' in path else '?'}per_page=100&page={page}")
        yield from items
        if len(items) < 100:
            return


def pull_request() -> int:
    """Return the number of the pull request; what a fork's artifact says of it is never believed."""
    given = os.environ.get("PULL_REQUEST", "")
    if given:
        return int(given)
    head, sha = os.environ["HEAD"], os.environ["HEAD_SHA"]
    for each in pages(f"pulls?state=open&head={urllib.parse.quote(head, safe=':')}"):
        if each["head"]["sha"] == sha:
            return int(each["number"])
    raise LookupError(f"no open pull request has the head {head} at {sha}: it was closed, or has newer commits")


def main() -> int:
    """Post or update the comment."""
    with open(os.environ["FILE"], encoding="utf-8") as stream:
        text = stream.read()
    marker = text.partition("\n")[0]
    if not re.fullmatch(r"<!-- seatrial:.{1,250} -->", marker):
        raise LookupError("the file does not begin with the marker of a gate's comment.md")
    number = pull_request()
    mine = (
        each["id"]
        for each in pages(f"issues/{number}/comments")
        if each["user"]["type"] == "Bot" and (each["body"] or "").partition("\n")[0].rstrip("\r") == marker
    )
    found = next(mine, None)
    if found is None:
        api("POST", f"issues/{number}/comments", {"body": text})
    else:
        api("PATCH", f"issues/comments/{found}", {"body": text})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LookupError, ValueError, OSError, urllib.error.URLError) as error:
        print(f"::warning title=Seatrial::the comment was not written: {' '.join(str(error).split())}")
        sys.exit(1)
