"""What went wrong, as one clear block on stderr, as JSON where that was asked for, and as an exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import click

from seatrial_targets.errors import CancelledError, SeatrialError

USAGE, HARNESS, STOPPED = 2, 3, 128
PIPE_CLOSED = 128 + 13  # what a program that SIGPIPE killed gives
REPORT = "this is a defect of Seatrial: please report it, with what `--debug` prints and what `seatrial doctor` says"


class ReaderGoneError(Exception):
    """Whoever read our output has gone. Not an OSError: click would make exit code 1 of it, which means FAIL."""


def guarded(command: Callable[[], Any], words: Sequence[str], stopped_by: Sequence[int]) -> int:
    """Call ``command`` and return the exit code; every exception becomes words. ``words`` are the arguments given."""
    try:
        code = command()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (BrokenPipeError, ReaderGoneError, SystemExit):  # SystemExit: click's own answer to a closed pipe, in help
        _silence()
        return PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort, CancelledError) as error:
        said = str(error) if isinstance(error, CancelledError) else "stopped"
        return _told(words, "CancelledError", "cancelled", said, STOPPED + (stopped_by[0] if stopped_by else 2))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _told(words, "UsageError", "user_error", _usage(error), USAGE)
    except SeatrialError as error:
        if given("--debug", words):
            traceback.print_exception(error)
        return _told(words, type(error).__name__, error.status, str(error), error.exit_code)
    except Exception as error:
        return _unexpected(words, error)


def clean(text: object) -> str:
    """Return ``text`` without characters that could steer a terminal; new lines stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def coloured(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal whose user wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def given(option: str, words: Sequence[str]) -> bool:
    """Return whether an option without value is among the arguments, also when they could not be parsed."""
    before = words[: words.index("--")] if "--" in words else words
    return option in before


def _told(words: Sequence[str], kind: str, status: str, message: str, code: int) -> int:
    label = "\x1b[1;31merror:\x1b[0m" if coloured(sys.stderr) else "error:"
    try:
        print(label, clean(message).replace("\n", "\n       "), file=sys.stderr, flush=True)
        if given("--json", words):
            error = {"kind": kind, "status": status, "message": message, "exit_code": code}
            print(json.dumps({"error": error}, indent=1), flush=True)
    except BrokenPipeError:
        _silence()
    return code


def _unexpected(words: Sequence[str], error: Exception) -> int:
    if given("--debug", words):
        traceback.print_exception(error)
    summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _told(words, type(error).__name__, "harness_error", f"{summary}\n{REPORT}", HARNESS)


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message}\n{context.get_usage()}\n`{context.command_path} --help` tells more" if context else message


def _silence() -> None:
    """Whoever read our output has gone: let the interpreter's last flush go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(null, stream.fileno())
        except (OSError, ValueError):  # not a real file, as under a test
            continue
    os.close(null)
